/**
 * Registers a server and keeps it registered: listening, then ready, then in the registry; draining, then out of the
 * registry, and only then closed.
 *
 * `serve` provides the registration with the serving layer, so that it is built after it and released before it; there
 * is no way to get that order wrong. A registry that is down neither stops the server nor holds up its exit.
 */
import * as Context from "effect/Context"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Endpoint } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import type { Event, RegistrationState } from "@muster/core/RegistrationState"
import type { Registry } from "@muster/core/Registry"
import * as Advertise from "./Advertise.ts"
import { answers } from "./internal/answers.ts"
import * as Actor from "./internal/registrarActor.ts"
import { serving } from "./internal/serving.ts"

/**
 * What to register. Defaults: a random id, the address that the server is bound to, weight 1, ready once it answers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<R = never> {
  /** The name that clients call, as in `http://orders/…`. */
  readonly service: string
  /**
   * The identity of this instance within its service. A later process with the same id takes the place of this one, and
   * so does any process at the same address.
   */
  readonly id?: string | undefined
  /** What to register instead of the address that the server is bound to. */
  readonly advertise?: Advertise.Advertise | undefined
  /** The relative share of requests; 0 takes the instance out of normal picks. */
  readonly weight?: number | undefined
  readonly zone?: string | undefined
  readonly version?: string | undefined
  readonly metadata?: Readonly<Record<string, string>> | undefined
  /** Asked by `Policy.Readiness` until it says yes; one that fails or takes longer than `Policy.CallDeadline` says no. */
  readonly ready?: Effect.Effect<boolean, unknown, R> | undefined
}

/**
 * An option that no registry could take: a bad service name, id, host, port or weight.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidOptions extends Schema.TaggedError<InvalidOptions>()("InvalidOptions", {
  message: Schema.String,
  cause: Schema.Defect()
}) {}

/**
 * Why a server cannot be registered at all. A registry that is down is no such reason.
 *
 * @category errors
 * @since 0.1.0
 */
export class RegistrarError extends Schema.TaggedError<RegistrarError>()("RegistrarError", {
  service: Schema.String,
  reason: Schema.Union([InvalidOptions, Advertise.NoAddress])
}) {
  /**
   * Which service cannot be registered, and why.
   *
   * @since 0.1.0
   */
  override get message(): string {
    return `${this.service} cannot be registered: ${this.reason.message}`
  }
}

/**
 * The registration of this server.
 *
 * @category services
 * @since 0.1.0
 */
export class Registrar extends Context.Service<
  Registrar,
  {
    /** What is registered; after the wall clock stepped back, its start may have to be registered as a later one. */
    readonly endpoint: Endpoint
    /** Where the registration stands right now. */
    readonly state: Effect.Effect<RegistrationState>
    /** The current state, then each newer one; a slow reader gets the newest, not a queue. */
    readonly changes: Stream.Stream<RegistrationState>
    /** Completes as soon as the instance is registered; never completes if it is fenced or withdrawn before. */
    readonly registered: Effect.Effect<void>
  }
>()("@muster/runtime/Registrar") {}

/**
 * Hears every event of every registration before it takes effect; folding them with `RegistrationState.step` gives
 * every state again. Called synchronously: it must be quick and must not throw. Default: nobody listens.
 *
 * @category services
 * @since 0.1.0
 */
export const Recorder = Context.Reference<(endpoint: Endpoint, event: Event) => void>(
  "@muster/runtime/Registrar/Recorder",
  { defaultValue: () => () => undefined }
)

/**
 * The serving layer and its registration: registered once requests are answered and `ready` says yes; on release
 * marked as draining, served on for `Policy.Drain`, withdrawn, and only then is the serving layer released.
 *
 * `served` is the layer with the routes attached, such as `HttpRouter.serve(routes)`. Its HttpServer is best provided
 * to the result, where its address can be seen; without an HttpServer in reach, set `advertise.host` and
 * `advertise.port`, and only `ready` says when.
 *
 * @category layers
 * @since 0.1.0
 */
export const serve = <A, E, R, R2 = never>(
  served: Layer.Layer<A, E, R>,
  options: Options<R2>
): Layer.Layer<A | Registrar, E | RegistrarError, R | Exclude<R2 | Registry, A>> =>
  Layer.provideMerge(Layer.effect(Registrar, make(options)), serving(served))

const make = Effect.fnUntraced(function* <R>(options: Options<R>) {
  const record = yield* Recorder
  const server = Option.getOrUndefined(yield* Effect.serviceOption(HttpServer.HttpServer))
  const endpoint = yield* describe(options, server?.address).pipe(
    Effect.mapError((reason) => new RegistrarError({ service: options.service, reason }))
  )
  const ready = yield* conditions(options, server?.address)
  const cell = yield* Actor.run(endpoint, ready, (event) => record(endpoint, event))
  return Registrar.of({
    endpoint,
    state: Effect.sync(cell.get),
    changes: cell.changes,
    registered: cell.changes.pipe(
      Stream.takeUntil((state) => state._tag === "Registered" || state._tag === "Renewing"),
      Stream.runDrain
    )
  })
})

type Bound = HttpServer.HttpServer["Service"]["address"] | undefined

const describe = Effect.fnUntraced(function* <R>(options: Options<R>, bound: Bound) {
  const { host, port } = yield* Advertise.resolve(options.advertise, bound)
  const { service, id = yield* randomId, weight, zone, version, metadata } = options
  const said = { service, id, host, port, weight, zone, version, metadata, startedAt: yield* Clock.currentTimeMillis }
  return yield* Schema.decodeUnknownEffect(Endpoint)(
    Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined))
  ).pipe(Effect.mapError((cause) => new InvalidOptions({ message: cause.message.replaceAll(/\s*\n\s*/g, " "), cause })))
})

/** 62 random bits: as unique as a registry of instances needs, and still short enough to be read aloud. */
const randomId = Effect.map(Effect.all(Array.from({ length: 12 }, () => Random.nextIntBetween(0, 35))), (digits) =>
  digits.map((digit) => digit.toString(36)).join("")
)

/** First that requests are answered, then what the server itself says; each asked until it says yes, and with a deadline. */
const conditions = Effect.fnUntraced(function* <R>({ ready }: Options<R>, bound: Bound) {
  const context = yield* Effect.context<R>()
  const deadline = yield* Policy.CallDeadline
  const asked = [
    ...(bound === undefined ? [] : [answers(bound)]),
    ...(ready === undefined
      ? []
      : [
          ready.pipe(
            Effect.orElseSucceed(() => false),
            Effect.provideContext(context)
          )
        ])
  ]
  return asked.map(Effect.timeoutOrElse({ duration: deadline, orElse: () => Effect.succeed(false) }))
})
