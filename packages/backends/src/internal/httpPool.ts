/**
 * The two ways to ask over connections of our own, kept alive; what is used when the user brings no HttpClient.
 *
 * A thousand instances are renewed three hundred times a second, which must cost next to nothing: so a short call is
 * one exchange with undici, without a fiber, a timer or a stream. One fiber keeps the deadlines of all of them for as
 * long as any is under way, and may notice one a twentieth late.
 */
import { Agent, buildConnector, type Dispatcher } from "@effect/platform-node/Undici"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import * as Layer from "effect/Layer"
import * as Policy from "@muster/core/Policy"
import * as Access from "./access.ts"
import * as Http from "./http.ts"

interface Call {
  /** In milliseconds. */
  readonly endsAt: number
  /** Nothing once it is over: V8 may keep what was in a Set for long after it was taken out. */
  end: (() => void) | undefined
}

/** The agents are destroyed with the scope. */
export const layer = (tls: Access.Tls | undefined): Layer.Layer<Http.Http> =>
  Layer.effect(
    Http.Http,
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const deadline = yield* Http.callDeadline
      const short = yield* agent(tls, { connections: yield* Policy.CallConcurrency })
      const long = yield* agent(tls, {})
      const watching = yield* FiberHandle.makeRuntime<never>()
      /** The short calls that are under way, oldest first. */
      const calls = new Set<Call>()

      const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
      const watch = Effect.gen(function* () {
        while (calls.size > 0) {
          yield* Effect.sleep(Duration.times(deadline, 1 / 20))
          for (const { end, endsAt } of calls) {
            if (endsAt > now()) break
            end?.()
          }
        }
      })

      const call = (request: Http.Request) =>
        Effect.callback<Http.Answer, Http.Failure>((resume) => {
          const end = () => {
            settle(Effect.fail(Http.late(request, deadline)))
            abort()
          }
          const entry: Call = { endsAt: now() + Duration.toMillis(deadline), end }
          const forget = () => {
            calls.delete(entry)
            entry.end = undefined
          }
          const settle = (exit: Effect.Effect<Http.Answer, Http.Failure>) => {
            forget()
            resume(exit)
          }
          calls.add(entry)
          watching(watch, { onlyIfMissing: true })
          // May settle at once: what cannot be sent as it is, is refused before it is sent.
          const abort = exchange(short, request, settle)
          return Effect.sync(() => {
            forget()
            abort()
          })
        })

      return Http.Http.of({
        call,
        wait: (request, deadline) =>
          Http.within(
            request,
            deadline,
            Effect.callback((resume) => Effect.sync(exchange(long, request, resume)))
          )
      })
    })
  )

/** Sends a request and settles with the whole answer, once; gives what aborts it. */
const exchange = (
  agent: Dispatcher,
  request: Http.Request,
  settle: (exit: Effect.Effect<Http.Answer, Http.Failure>) => void
) => {
  const { body, headers, method, origin, path } = request
  let begun: Dispatcher.DispatchController | undefined
  let aborted: Error | undefined
  let answer: Omit<Http.Answer, "text"> = { status: 0, headers: {} }
  const chunks: Array<Buffer> = []
  agent.dispatch(
    {
      method,
      origin,
      path,
      headers: body === undefined ? headers : { ...headers, "content-type": body.type },
      body: body?.text ?? null,
      headersTimeout: 0,
      bodyTimeout: 0
    },
    {
      onRequestStart: (controller) => {
        begun = controller
        if (aborted !== undefined) controller.abort(aborted)
      },
      onResponseStart: (_, status, headers) => {
        answer = { status, headers }
      },
      onResponseData: (_, chunk) => void chunks.push(chunk),
      onResponseEnd: () => settle(Effect.succeed({ ...answer, text: textOf(chunks) })),
      onResponseError: (_, error) => settle(Effect.fail(Http.broken(request, error)))
    }
  )
  return () => {
    aborted = new Error("nobody waits for the answer any more")
    begun?.abort(aborted)
  }
}

const textOf = (chunks: ReadonlyArray<Buffer>): string =>
  chunks.length === 0 ? "" : (chunks.length === 1 ? chunks : [Buffer.concat(chunks)]).join("")

/** Over HTTP/2 all would share one connection, which an abort does not end: nobody would ever leave one that is dead. */
const http1 = { allowH2: false }

const agent = (tls: Access.Tls | undefined, options: Agent.Options) =>
  Effect.acquireRelease(
    Effect.sync(() => new Agent({ ...options, ...http1, ...(tls === undefined ? {} : { connect: connector(tls) }) })),
    (agent) => Effect.promise(() => agent.destroy())
  )

/** Reads the certificates anew for each connection; those that are just being replaced cost no more than this one. */
const connector =
  (tls: Access.Tls): buildConnector.connector =>
  (options, callback) => {
    const { serverName: servername, skipVerify = false } = tls
    const connected = Effect.flatMap(Access.read(tls), (pem) =>
      Effect.try({
        try: () => buildConnector({ ...pem, ...http1, servername, rejectUnauthorized: !skipVerify })(options, callback),
        catch: Access.unusable
      })
    )
    // The message alone: it names the file, which its cause does not.
    Effect.runFork(
      Effect.match(connected, { onSuccess: () => {}, onFailure: ({ message }) => callback(new Error(message), null) })
    )
  }
