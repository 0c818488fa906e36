/**
 * One request to a registry that speaks HTTP, and its whole answer, within a deadline.
 *
 * Whatever goes wrong before there is a whole answer is `Unavailable`, `Untrusted` or `TimedOut`; every answer, of whatever status,
 * is a success here. An interrupted or late request is aborted. Requests are not traced one by one: the operations of
 * the ports are.
 */
import { buildConnector } from "@effect/platform-node/Undici"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import type { HttpClientRequest } from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Predicate from "effect/Predicate"
import * as Semaphore from "effect/Semaphore"
import * as Policy from "@muster/core/Policy"
import { TimedOut, Unavailable, Untrusted } from "@muster/core/RegistryError"
import * as Access from "./access.ts"

/** The answer to a request. */
export interface Answer {
  readonly status: number
  readonly headers: Headers.Headers
  readonly text: string
}

/** The client that is used when the user brings none. */
export const layerClient = (tls: Access.Tls | undefined) =>
  NodeHttpClient.layerUndiciOptions(tls === undefined ? {} : { connect: connector(tls) })

/** Reads the policies once and gives the two ways to ask. */
export const make = Effect.gen(function* () {
  const client = yield* HttpClient.HttpClient
  const scoped = HttpClient.withScope(client)
  const deadline = yield* Policy.CallDeadline
  const slots = yield* Semaphore.make(yield* Policy.CallConcurrency)
  return {
    /** Asks for an answer that is small and comes at once; only so many of these are under way, the others wait. */
    call: (request: HttpClientRequest) =>
      within(request, deadline, slots.withPermit(Effect.flatMap(client.execute(request), whole))),
    /** Asks for an answer that may be large or let us wait: aborted wherever it is when nobody wants it any more. */
    wait: (request: HttpClientRequest, deadline: Duration.Duration) =>
      within(request, deadline, Effect.scoped(Effect.flatMap(scoped.execute(request), whole)))
  }
})

const whole = ({ headers, status, text }: HttpClientResponse): Effect.Effect<Answer, HttpClientError> =>
  Effect.map(text, (text) => ({ status, headers, text }))

const within = (
  { method, url }: HttpClientRequest,
  deadline: Duration.Duration,
  answer: Effect.Effect<Answer, HttpClientError>
): Effect.Effect<Answer, Unavailable | Untrusted | TimedOut> =>
  answer.pipe(
    Effect.mapError((error) => {
      const message = describe(error)
      return isUntrusted(message)
        ? new Untrusted({ message, cause: error })
        : new Unavailable({ message, cause: error })
    }),
    Effect.timeoutOrElse({
      duration: deadline,
      orElse: () =>
        Effect.fail(new TimedOut({ message: `${method} ${url}: no answer within ${Duration.format(deadline)}` }))
    }),
    Effect.provideService(HttpClient.TracerDisabledWhen, () => true)
  )

const describe = ({ reason }: HttpClientError): string => {
  const cause = "cause" in reason ? reason.cause : undefined
  const why = Predicate.isError(cause) && cause.message !== "" ? cause.message : reason.message
  return `${reason.request.method} ${reason.request.url}: ${why}`
}

const isUntrusted = (message: string) => /certificate|altname|Hostname\/IP/i.test(message) && !/alert/i.test(message)

/** Reads the certificates anew for each connection. */
const connector =
  (tls: Access.Tls): buildConnector.connector =>
  (options, callback) => {
    const { serverName: servername, skipVerify = false } = tls
    Effect.runCallback(Access.read(tls), {
      onExit: Exit.match({
        onSuccess: (pem) => buildConnector({ ...pem, servername, rejectUnauthorized: !skipVerify })(options, callback),
        onFailure: (cause) => callback(new Error(Cause.pretty(cause)), null)
      })
    })
  }
