/**
 * One request to a registry that speaks HTTP, and its whole answer, within a deadline.
 *
 * Whatever goes wrong before there is a whole answer is `Unavailable`, `Untrusted` or `TimedOut`; every answer, of whatever
 * status, is a success here. An interrupted or late request is aborted. Requests are not traced one by one: the operations
 * of the ports are.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Semaphore from "effect/Semaphore"
import * as Policy from "@muster/core/Policy"
import { TimedOut, Unavailable, Untrusted } from "@muster/core/RegistryError"
import * as Access from "./access.ts"

/** What is asked. The query is part of the path, and is left out of errors: it may hold a token. */
export interface Request {
  readonly method: "GET" | "POST" | "PUT" | "DELETE"
  readonly origin: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: { readonly type: string; readonly text: string } | undefined
}

/** The answer to a request. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly text: string
}

/** Why there is no whole answer. */
export type Failure = Unavailable | Untrusted | TimedOut

/** The two ways to ask, over whatever there is. */
export class Http extends Context.Service<
  Http,
  {
    /** Asks for an answer that is small and comes at once; only so many of these are under way, the others wait. */
    readonly call: (request: Request) => Effect.Effect<Answer, Failure>
    /** Asks for an answer that may be large or let us wait: aborted wherever it is when nobody wants it any more. */
    readonly wait: (request: Request, deadline: Duration.Duration) => Effect.Effect<Answer, Failure>
  }
>()("@muster/backends/internal/Http") {}

/**
 * How long a short call waits: less than whoever waits for it, whose deadline is `Policy.CallDeadline`. Or he would give
 * up first, and nobody would ever see that it is the server that is silent.
 */
export const callDeadline = Effect.map(Policy.CallDeadline, (deadline) =>
  Duration.millis(Math.floor((Duration.toMillis(deadline) * 5) / 6))
)

/** Over the HttpClient that the user brings. */
export const layerClient: Layer.Layer<Http, never, HttpClient.HttpClient> = Layer.effect(
  Http,
  Effect.gen(function* () {
    const client = yield* HttpClient.HttpClient
    const scoped = HttpClient.withScope(client)
    const deadline = yield* callDeadline
    const slots = yield* Semaphore.make(yield* Policy.CallConcurrency)
    return Http.of({
      call: (request) =>
        within(
          request,
          deadline,
          heard(request, slots.withPermit(Effect.flatMap(client.execute(requestOf(request)), whole)))
        ),
      wait: (request, deadline) =>
        within(
          request,
          deadline,
          heard(request, Effect.scoped(Effect.flatMap(scoped.execute(requestOf(request)), whole)))
        )
    })
  })
)

const untraced = Effect.provideService(HttpClient.TracerDisabledWhen, () => true)

const heard = (request: Request, answer: Effect.Effect<Answer, HttpClientError>) =>
  // The message of a reason has the whole URL, and with it the query.
  Effect.mapError(untraced(answer), ({ reason }) =>
    broken(request, ("cause" in reason ? reason.cause : undefined) ?? reason._tag)
  )

const requestOf = ({ body, headers, method, origin, path }: Request) =>
  HttpClientRequest.make(method)(`${origin}${path}`, {
    headers,
    body: body === undefined ? undefined : HttpBody.text(body.text, body.type)
  })

const whole = ({ headers, status, text }: HttpClientResponse): Effect.Effect<Answer, HttpClientError> =>
  Effect.map(text, (text) => ({ status, headers, text }))

/** The answer, unless it takes longer than this. */
export const within = <A>(
  request: Request,
  deadline: Duration.Duration,
  answer: Effect.Effect<A, Failure>
): Effect.Effect<A, Failure> =>
  Effect.timeoutOrElse(answer, { duration: deadline, orElse: () => Effect.fail(late(request, deadline)) })

/** What it is called when there was no answer in time. */
export const late = (request: Request, deadline: Duration.Duration) =>
  new TimedOut({ message: `${describe(request)}: no answer within ${Duration.format(deadline)}` })

/** What it is called when the exchange broke off. */
export const broken = (request: Request, cause: unknown) => {
  const { code, text } = rootOf(cause)
  const fields = { message: `${describe(request)}: ${text}`, cause }
  return Access.badCertificate.test(code) ? new Untrusted(fields) : new Unavailable(fields)
}

const describe = ({ method, origin, path }: Request) => `${method} ${origin}${path.split("?", 1)[0]}`

/** The innermost cause that says something; of attempts on several addresses the first. */
const rootOf = (cause: unknown) => {
  let root = { code: "", text: String(cause) }
  for (let next = cause, depth = 0; Predicate.isError(next) && depth < 8; depth++) {
    const code = "code" in next && typeof next.code === "string" ? next.code : root.code
    const said = next.message === "" ? code : next.message
    root = { code, text: said === "" ? root.text : said }
    next = next instanceof AggregateError ? next.errors[0] : next.cause
  }
  return root
}

/** What is asked for, as the end of a path. */
export const query = (parameters: Readonly<Record<string, string | number | boolean | undefined>>): string => {
  const pairs = new URLSearchParams()
  for (const [key, value] of Object.entries(parameters)) if (value !== undefined) pairs.set(key, String(value))
  return pairs.size === 0 ? "" : `?${pairs.toString()}`
}
