/**
 * The two calls of the Kubernetes API that discovery makes: list EndpointSlices, page by page, and watch them.
 *
 * A call waits no longer than `Policy.CallDeadline` for each page and for a watch to open. A refused token is read
 * again and tried once more. `Retry-After` is honoured for all calls to this API server: until then a call waits if that
 * is short, and else fails without sending anything.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Policy from "@muster/core/Policy"
import { Exhausted, type RegistryErrorReason, TimedOut, Unavailable, Unreadable } from "@muster/core/RegistryError"
import * as Slice from "./endpointSlice.ts"
import { type Call, Expired, type Failure, ofStatus, ofTransport, status, type Status, statusText } from "./failure.ts"

/** How an API server is reached. */
export interface Connection {
  /** A client that reaches it with the credentials of this moment, for one request. */
  readonly client: Effect.Effect<HttpClient.HttpClient, RegistryErrorReason, Scope.Scope>
  /** The credentials were refused: nothing remembered of them may be used again. */
  readonly forget: Effect.Effect<void>
}

/** The slices of a namespace, or of one Service in it, at one moment. */
interface Listing {
  readonly slices: ReadonlyArray<Slice.EndpointSlice>
  readonly resourceVersion: string
  /** Objects that are no EndpointSlice. */
  readonly problems: ReadonlyArray<string>
}

/** What a watch tells. */
export type Event =
  | { readonly _tag: "Put"; readonly slice: Slice.EndpointSlice }
  | { readonly _tag: "Deleted"; readonly slice: Slice.EndpointSlice }
  | { readonly _tag: "Bookmark"; readonly resourceVersion: string }
  | { readonly _tag: "Unknown"; readonly problem: string }

/** The calls. */
export interface Api {
  readonly list: (namespace: string, service?: string) => Effect.Effect<Listing, RegistryErrorReason>
  /** Answers once the watch is open, which then lives for `life` at least; the connection lives in the scope. */
  readonly watch: (
    namespace: string,
    resourceVersion: string,
    life: Duration.Duration
  ) => Effect.Effect<Stream.Stream<Event, Failure>, Failure, Scope.Scope>
}

const text = Schema.optionalKey(Schema.NullOr(Schema.String))

const decodeList = Schema.decodeUnknownEffect(
  Schema.fromJsonString(
    Schema.Struct({
      metadata: Schema.Struct({ resourceVersion: Schema.NonEmptyString, continue: text }),
      items: Schema.NullOr(Schema.Array(Schema.Unknown))
    })
  )
)

const decodeEvent = Schema.decodeUnknownEffect(
  Schema.fromJsonString(Schema.Struct({ type: Schema.String, object: Schema.Unknown }))
)

const decodeBookmark = Schema.decodeUnknownResult(
  Schema.Struct({ metadata: Schema.Struct({ resourceVersion: Schema.NonEmptyString }) })
)

const pathOf = (namespace: string) => `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`

const unreadable = (what: string) => (error: { readonly message: string }) =>
  new Unreadable({ message: `${what}: ${error.message.replaceAll(/\s+/g, " ").slice(0, 300)}` })

/** The calls over a connection. */
export const make = Effect.fnUntraced(function* (connection: Connection) {
  const deadline = yield* Policy.CallDeadline
  const { longestPause, pageSize } = yield* Policy.SharedWatch
  let notBefore = 0

  const now = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

  const pushedBack = Effect.fnUntraced(function* (seconds: number) {
    const pause = Math.min(seconds * 1000, Duration.toMillis(longestPause))
    notBefore = (yield* now) + pause * (yield* Random.nextBetween(1, 1.2))
  })

  /** Waits until the API server wants to be asked again, if that is soon. */
  const wait = Effect.gen(function* () {
    const left = notBefore - (yield* now)
    if (left <= 0) return
    if (left <= Duration.toMillis(deadline)) return yield* Effect.sleep(Duration.millis(left))
    const message = `the API server asked not to be called for another ${Math.ceil(left / 1000)} s`
    return yield* new Exhausted({ message })
  })

  const inTime = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>) =>
    Effect.timeoutOrElse(effect, {
      duration: deadline,
      orElse: () => Effect.fail(new TimedOut({ message: `no ${what} within ${Duration.format(deadline)}` }))
    })

  const failed = Effect.fnUntraced(function* (call: Call, response: HttpClientResponse.HttpClientResponse) {
    const told = yield* Effect.map(Effect.mapError(response.text, ofTransport), statusText)
    const seconds = pauseOf(response, told)
    if (seconds > 0 && (response.status === 429 || response.status >= 500)) yield* pushedBack(seconds)
    return yield* Effect.fail(ofStatus(call, response.status, told))
  })

  const attempt = Effect.fnUntraced(function* (call: Call, params: Readonly<Record<string, string>>) {
    const client = HttpClient.withScope(yield* connection.client)
    const untraced = Effect.provideService(HttpClient.TracerDisabledWhen, () => true)
    const request = HttpClientRequest.get(pathOf(call.namespace)).pipe(
      HttpClientRequest.acceptJson,
      HttpClientRequest.setUrlParams(params)
    )
    return yield* inTime(
      `answer to ${call.verb}`,
      Effect.flatMap(Effect.mapError(untraced(client.execute(request)), ofTransport), (response) =>
        response.status === 200 ? Effect.succeed(response) : failed(call, response)
      )
    )
  })

  const send = (call: Call, params: Readonly<Record<string, string>>) =>
    Effect.andThen(
      wait,
      Effect.catchTag(attempt(call, params), "Unauthenticated", () =>
        Effect.andThen(connection.forget, attempt(call, params))
      )
    )

  const page = Effect.fnUntraced(function* (namespace: string, params: Readonly<Record<string, string>>) {
    const response = yield* send({ verb: "list", namespace }, params)
    const body = yield* inTime("end of the list", Effect.mapError(response.text, ofTransport))
    return yield* Effect.mapError(decodeList(body), unreadable("the API server answered no list"))
  }, Effect.scoped)

  const pages = Effect.fnUntraced(function* (namespace: string, service: string | undefined) {
    const labelSelector = service === undefined ? Slice.serviceLabel : `${Slice.serviceLabel}=${service}`
    const params = { labelSelector, limit: String(pageSize) }
    const slices: Array<Slice.EndpointSlice> = []
    const problems: Array<string> = []
    for (let token = ""; ;) {
      const { items, metadata } = yield* page(namespace, token === "" ? params : { ...params, continue: token })
      for (const item of items ?? []) {
        const slice = Slice.read(item)
        if (Result.isSuccess(slice)) slices.push(slice.success)
        else problems.push(slice.failure)
      }
      token = metadata.continue ?? ""
      if (token === "") return { slices, problems, resourceVersion: metadata.resourceVersion }
    }
  })

  const list = (namespace: string, service?: string) =>
    pages(namespace, service).pipe(
      Effect.retry({ times: 1, while: (failure) => failure._tag === "Expired" }),
      Effect.catchTag("Expired", () =>
        Effect.fail(new Unavailable({ message: "the list changed faster than it could be read" }))
      ),
      Effect.withSpan("Kubernetes.list", { attributes: { namespace, service } })
    )

  const watch = Effect.fn("Kubernetes.watch")(function* (
    namespace: string,
    resourceVersion: string,
    life: Duration.Duration
  ) {
    const call: Call = { verb: "watch", namespace }
    const response = yield* send(call, {
      labelSelector: Slice.serviceLabel,
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion,
      timeoutSeconds: String(Math.ceil(Duration.toSeconds(life)) + 1)
    })
    return response.stream.pipe(
      Stream.mapError((error): Failure => ofTransport(error)),
      Stream.decodeText(),
      Stream.mapAccum(() => "", splitLines),
      Stream.mapEffect((line) =>
        Effect.flatMap(Effect.mapError(decodeEvent(line), unreadable("the API server told no event")), (event) =>
          readEvent(call, event)
        )
      )
    )
  })

  const api: Api = { list, watch }
  return api
})

/** Lines as far as they are whole; what a broken connection left of the last one is worth nothing. */
const splitLines = (rest: string, text: string): readonly [string, ReadonlyArray<string>] => {
  const lines = `${rest}${text}`.split("\n")
  return [lines.pop() ?? "", lines.filter((line) => line !== "")]
}

const readEvent = (
  call: Call,
  { object, type }: { readonly type: string; readonly object: unknown }
): Effect.Effect<Event, Failure> => {
  if (type === "ERROR") {
    const told = status(object)
    return Effect.fail(told.code === 410 ? new Expired() : ofStatus(call, told.code ?? 500, told))
  }
  if (type === "BOOKMARK") {
    return Effect.succeed(
      Result.match(decodeBookmark(object), {
        onFailure: (): Event => ({ _tag: "Unknown", problem: "a bookmark without a resourceVersion" }),
        onSuccess: ({ metadata }) => ({ _tag: "Bookmark", resourceVersion: metadata.resourceVersion })
      })
    )
  }
  const isPut = type === "ADDED" || type === "MODIFIED"
  if (!isPut && type !== "DELETED") return Effect.succeed({ _tag: "Unknown", problem: `an event of type ${type}` })
  return Effect.succeed(
    Result.match(Slice.read(object), {
      onFailure: (problem): Event => ({ _tag: "Unknown", problem }),
      onSuccess: (slice) => ({ _tag: isPut ? "Put" : "Deleted", slice })
    })
  )
}

/** The seconds for which the API server asks to be left alone; 0 where it does not ask. */
const pauseOf = ({ headers }: HttpClientResponse.HttpClientResponse, told: Status): number => {
  const seconds = Number(headers["retry-after"] ?? told.details?.retryAfterSeconds ?? 0)
  return Number.isFinite(seconds) ? seconds : 0
}
