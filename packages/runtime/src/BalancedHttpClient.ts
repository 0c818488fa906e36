/**
 * An `HttpClient` for which `http://orders/x` means the service `orders`: each attempt goes to the instance that the
 * balancer chooses, and everything else is the client below, so HTTP APIs and RPC over HTTP are balanced as they are.
 *
 * A service is a host that `Services` knows, in a URL without a port; every other URL passes through untouched. A refused
 * request is sent elsewhere; one that may have been executed only if it is idempotent; neither, if its body is no longer
 * there. What cannot be helped comes back as it is: the last response, or an `HttpClientError` whose cause is a
 * `BalancerError`. Nothing is ever sent twice that may not be executed twice. Each request says how much time is left
 * for it (`Deadline`), and one that takes its time may be hedged (`Policy.Hedge`).
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Metrics from "@muster/core/Metrics"
import * as Outcome from "@muster/core/Outcome"
import * as Policy from "@muster/core/Policy"
import { type Attempt, Balancer } from "./Balancer.ts"
import type { BalancerError } from "./BalancerError.ts"
import * as Deadline from "./Deadline.ts"
import * as Addressing from "./internal/addressing.ts"
import * as Alarms from "./internal/alarms.ts"
import * as Given from "./internal/given.ts"
import * as Hedge from "./internal/hedge.ts"
import * as Exchange from "./internal/httpExchange.ts"
import * as ServiceResponse from "./internal/serviceResponse.ts"

/**
 * Which hosts are services. Default: those of a single label, which is neither `localhost` nor a number: `orders` is one,
 * `orders.example.com`, `10.0.0.1` and `localhost` are not. A URL with a port is an address whatever its host.
 *
 * To say exactly which: `Layer.succeed(BalancedHttpClient.Services, (host) => host === "orders")`.
 *
 * @category services
 * @since 0.1.0
 */
export const Services = Context.Reference<(host: string) => boolean>("@muster/runtime/BalancedHttpClient/Services", {
  defaultValue: () => (host) => !host.includes(".") && host !== "localhost" && !/^(?:\d+|0x[\da-f]+)$/.test(host)
})

/**
 * Whether the requests of an effect may be executed twice, whatever their method. By default GET, HEAD, OPTIONS, TRACE,
 * PUT and DELETE may, and every request with an `Idempotency-Key`.
 *
 * @category services
 * @since 0.1.0
 */
export const Idempotent = Context.Reference<boolean | undefined>("@muster/runtime/BalancedHttpClient/Idempotent", {
  defaultValue: () => undefined
})

/**
 * Says that the requests of this effect may be executed twice.
 *
 * **Gotchas**
 *
 * A batch of RPCs (`RpcClient.layerProtocolHttp({ batch })`) is one request, which is sent for whoever called first: what
 * is said of his call is said of all. With `batch`, say it of the client, if it is true of each call:
 * `transformClient: HttpClient.transformResponse(BalancedHttpClient.idempotent)`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const idempotent: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = Effect.provideService(
  Idempotent,
  true
)

/**
 * The key of a request: requests with the same key belong to the same instance, if the policy is `Pick.ringHash`.
 * Default: none has one.
 *
 * By what a request says: `Layer.succeed(BalancedHttpClient.Key, (request) => request.headers["x-customer"])`; by what
 * the program knows: `keyed`.
 *
 * @category services
 * @since 0.1.0
 */
export const Key = Context.Reference<(request: HttpClientRequest.HttpClientRequest) => string | undefined>(
  "@muster/runtime/BalancedHttpClient/Key",
  { defaultValue: () => () => undefined }
)

/**
 * Gives all requests of an effect this key.
 *
 * **Gotchas**
 *
 * A batch of RPCs (`RpcClient.layerProtocolHttp({ batch })`) is one request, and the key of whoever called first is the
 * key of all. With `batch`, give the client a key, never a single call.
 *
 * @category combinators
 * @since 0.1.0
 */
export const keyed = (key: string): (<A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) =>
  Effect.provideService(Key, () => key)

/**
 * The client over the one below it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.gen(function* () {
  const below = yield* HttpClient.HttpClient
  const balancer = yield* Balancer
  const clock = yield* Clock.Clock
  const scope = yield* Scope.Scope
  const arm = yield* Alarms.make
  const given = yield* Given.around(
    Context.pick(
      Services,
      Idempotent,
      Key,
      Policy.Attempt,
      Policy.Hedge,
      Policy.WaitForInstance,
      HttpClient.TracerDisabledWhen
    )
  )

  /** `asked` is the URL at which the instance was asked. */
  const classify = (exit: Exit.Exit<Response, Failure>, asked: string): Outcome.Outcome => {
    if (Exit.isSuccess(exit)) return Exchange.ofResponse(exit.value, clock)
    const error = Exit.findErrorOption(exit)
    if (Option.isNone(error)) return Outcome.interrupted
    return error.value._tag === "BalancerError" ? Outcome.failed : Exchange.ofError(error.value, asked)
  }

  /** Reads to the end what nobody wants, so that the connection can be used again; not where that may take for ever. */
  const discard = (response: Response, within: Duration.Duration) => {
    const time = Duration.isFinite(within) ? within : Duration.zero
    return response.stream.pipe(Stream.runDrain, Effect.timeoutOption(time), Effect.ignore, Effect.forkIn(scope))
  }

  const attempt = (sending: Sending, isHedge: boolean, begun?: Latch.Latch) => {
    const { after, call, made } = sending
    const { isRepeatable, key, request, target } = call
    let asked = ""
    return balancer.use(
      target.service,
      (endpoint, attempt) => {
        made.push(attempt)
        begun?.openUnsafe()
        sending.lending = Exchange.lend(request)
        const sent = Addressing.addressed(sending.lending.request, target, endpoint, attempt.time)
        asked = sent.url
        return Effect.map(below.execute(sent), (response) => {
          const { headers } = response
          const report = Exchange.reportOf(headers)
          if (report !== undefined) attempt.note(report)
          return ServiceResponse.make(response, headers, { request, asked }, attempt.hold, arm)
        })
      },
      {
        classify: (exit) => classify(exit, asked),
        isRepeatable,
        isHedge,
        after: isHedge ? [...made] : after,
        key,
        provide: unlessUntraced
      }
    )
  }

  /** The attempt, or the one beside it that does better. */
  const hedged = (sending: Sending, after: Duration.Duration) => {
    const { limits, target } = sending.call
    const begun = Latch.makeUnsafe(false)
    return Hedge.hedged(attempt(sending, false, begun), {
      after,
      begun: begun.await,
      second: Effect.annotateSpans(
        Effect.suspend(() => attempt(sending, true)),
        "muster.hedge",
        true
      ),
      isGood: (response) => !Exchange.isWorthRetrying(response),
      isNotMade: isNotTried,
      drop: (response) => discard(response, limits.deadline),
      won: Metric.update(Metric.withAttributes(Metrics.hedgesWon, { service: target.service }), 1)
    })
  }

  const exchange = (sending: Sending): Effect.Effect<Response, Failure> => {
    const { after, call } = sending
    const hedge = call.isRepeatable && after.length + 2 <= call.limits.attempts ? call.hedge : undefined
    if (hedge === undefined) return attempt(sending, false)
    if ("after" in hedge) return hedged(sending, hedge.after)
    return Effect.flatMap(balancer.percentile(call.target.service, hedge.percentile), (time) =>
      time === undefined ? attempt(sending, false) : hedged(sending, time)
    )
  }

  /** What came of it, unless another instance does better. */
  const unlessElsewhere = (sending: Sending, result: Effect.Effect<Response, Failure>, why: string) =>
    Effect.withFiber<Response, Failure>((fiber) => {
      const { call, made } = sending
      const last = lastMade(sending)
      if (last === undefined || made.length >= call.limits.attempts || Deadline.left(fiber.context) === 0) return result
      const { id } = last.picked.member
      return send(call, made, identity).pipe(
        Effect.tap(() => Effect.logDebug(`answered elsewhere than by ${id}: ${why}`)),
        Effect.catchIf(isNotTried, () => result)
      )
    })

  /** `told` says what becomes of a failure, and of what came of another attempt. */
  const send = <E>(
    call: Call,
    after: ReadonlyArray<Attempt>,
    told: (result: Effect.Effect<Response, Failure>) => Effect.Effect<Response, E>
  ): Effect.Effect<Response, E> => {
    const { isRepeatable, limits } = call
    const sending: Sending = { call, after, made: [...after], lending: undefined }
    return Effect.matchEffect(exchange(sending), {
      onSuccess: (response) => {
        const result = Effect.succeed(response)
        if (!isRepeatable || !Exchange.isWorthRetrying(response)) return result
        const better = Effect.onExit(unlessElsewhere(sending, result, `status ${response.status}`), (exit) =>
          Exit.isSuccess(exit) && exit.value === response ? Effect.void : discard(response, limits.deadline)
        )
        return told(better)
      },
      onFailure: (error) => {
        const result = Effect.fail(error)
        const mayBeSent =
          isRepeatable || (lastMade(sending)?.picked.outcome?._tag === "Refused" && sending.lending?.takeBack())
        return told(mayBeSent ? unlessElsewhere(sending, result, error.message) : result)
      }
    })
  }

  const execute = (request: Request) =>
    Effect.withFiber<Response, HttpClientError.HttpClientError>((fiber) => {
      const target = Addressing.targetOf(request.url)
      if (target === undefined || !fiber.getRef(Services)(target.service)) return below.execute(request)
      const isIdempotent = fiber.getRef(Idempotent) ?? Exchange.isIdempotent(request)
      const call: Call = {
        request,
        target,
        limits: fiber.getRef(Policy.Attempt),
        hedge: fiber.getRef(Policy.Hedge),
        key: fiber.getRef(Key)(request),
        isRepeatable: isIdempotent && Exchange.isReplayable(request)
      }
      return send(
        call,
        [],
        Effect.catchTag("BalancerError", (error) => Effect.fail(transportError(request, error)))
      )
    })

  return HttpClient.makeWith<HttpClientError.HttpClientError, never, HttpClientError.HttpClientError, never>(
    (request) => given(Effect.flatMap(request, execute)),
    Effect.succeed
  )
})

/**
 * An `HttpClient` that balances, over the `HttpClient` it is provided with.
 *
 * **Gotchas**
 *
 * `HttpClient.withScope` has no effect on it: a request to a service ends with its body, or when nobody knows the
 * response any more. `HttpClientResponse.toWeb` gives none for an answer of a service. A request that has neither a tracer
 * nor a span around it is in no span, and carries no `traceparent`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<HttpClient.HttpClient, never, HttpClient.HttpClient | Balancer> = Layer.effect(
  HttpClient.HttpClient,
  make
)

type Response = HttpClientResponse.HttpClientResponse
type Request = HttpClientRequest.HttpClientRequest
type Failure = HttpClientError.HttpClientError | BalancerError

/** A request to a service, and what may be done to have it answered. */
interface Call {
  readonly request: Request
  readonly target: Addressing.Target
  readonly limits: (typeof Policy.Attempt)["Service"]
  readonly hedge: (typeof Policy.Hedge)["Service"]
  readonly key: string | undefined
  readonly isRepeatable: boolean
}

/** A request on its way, which was tried as often as `after` says before this time. */
interface Sending {
  readonly call: Call
  readonly after: ReadonlyArray<Attempt>
  /** Those and what was tried since. */
  readonly made: Array<Attempt>
  /** What the last of them was given. */
  lending: Exchange.Lending | undefined
}

const lastMade = ({ after, made }: Sending): Attempt | undefined =>
  made.length > after.length ? made.at(-1) : undefined

/**
 * Whether there is neither a tracer nor a span where the client below sends, whoever it had them from. It makes a span for
 * each request all the same, with all of its headers, and sends the id of a trace that no server finds the beginning of: a
 * sixth of what a small request costs.
 */
const isUntraced = (): boolean => {
  const cache = Fiber.getCurrent()?.cache
  return cache !== undefined && cache.tracer === undefined && cache.span === undefined
}

const unlessUntraced = <R>(around: Context.Context<R>): Context.Context<R> => {
  const isDisabled = Context.get(around, HttpClient.TracerDisabledWhen)
  return Context.add(around, HttpClient.TracerDisabledWhen, (sent) => isDisabled(sent) || isUntraced())
}

/** Whether another attempt was not even made. */
const isNotTried = (error: Failure): boolean =>
  error._tag === "BalancerError" && (error.reason._tag === "AllExcluded" || error.reason._tag === "BudgetSpent")

const transportError = (request: Request, cause: BalancerError): HttpClientError.HttpClientError =>
  new HttpClientError.HttpClientError({
    reason: new HttpClientError.TransportError({ request, cause, description: cause.message })
  })
