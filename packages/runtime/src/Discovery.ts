/**
 * Follows services in a registry and keeps what is known of them, whatever happens to the registry.
 *
 * One actor for each service, shared by all its subscribers: it opens the watch, stamps what it hears, and dispatches
 * it to the pure machine in `DiscoveryState`. It freezes on failure, resumes or reads everything again by
 * `Policy.Rewatch`, reads everything now and then by `Policy.FullRead`, and is released when nobody subscribes without
 * forgetting what it learned. A snapshot is never taken away by a failure of the registry.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RcMap from "effect/RcMap"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { DiscoveryState, Event } from "@muster/core/DiscoveryState"
import type { InstanceId, ServiceName } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import * as Actor from "./internal/discoveryActor.ts"

/**
 * A view of one service that is kept current for as long as the scope of the subscription lives.
 *
 * @category models
 * @since 0.1.0
 */
export interface Subscription {
  readonly service: ServiceName
  /** The state right now; never waits. */
  readonly current: () => DiscoveryState
  /** The current state and then each newer one; a slow reader gets the newest, not a queue. */
  readonly changes: Stream.Stream<DiscoveryState>
  /** A connection to this instance was refused: if it is held by the mass-removal guard, it leaves. */
  readonly refused: (id: InstanceId) => Effect.Effect<void>
  /** How old the data is: zero while the registry is followed, `undefined` without data. */
  readonly age: Effect.Effect<Duration.Duration | undefined>
  /** Starts over after the freeze policy gave up; anything else is left alone. */
  readonly retry: Effect.Effect<void>
}

/**
 * What is known of every service that somebody asked for.
 *
 * @category services
 * @since 0.1.0
 */
export class Discovery extends Context.Service<
  Discovery,
  {
    /** Follows a service while the scope lives. Never waits for the registry. */
    readonly subscribe: (service: ServiceName) => Effect.Effect<Subscription, never, Scope.Scope>
    /** The current state of a service, which begins to be followed if it was not. */
    readonly state: (service: ServiceName) => Effect.Effect<DiscoveryState>
  }
>()("@muster/runtime/Discovery") {}

/**
 * Hears every event of every service before it takes effect; folding them with `DiscoveryState.step` gives every
 * state again. A service that nobody asks for and nobody is registered under is forgotten: then its log begins anew.
 * Called synchronously: it must be quick and must not throw. Default: nobody listens.
 *
 * @category services
 * @since 0.1.0
 */
export const Recorder = Context.Reference<(service: ServiceName, event: Event) => void>(
  "@muster/runtime/Discovery/Recorder",
  { defaultValue: () => () => undefined }
)

/**
 * Keeps a text under a key; every `KeyValueStore` does.
 *
 * @category models
 * @since 0.1.0
 */
export interface TextStore {
  readonly get: (key: string) => Effect.Effect<string | undefined, unknown>
  readonly set: (key: string, text: string) => Effect.Effect<void, unknown>
}

/**
 * Where the last snapshot of each service is kept for the next run, which serves from it, marked with its age, as long
 * as the registry does not answer. Default: nowhere.
 *
 * `SnapshotFiles.layer` keeps it in files; `Layer.effect(Discovery.Memory, KeyValueStore.KeyValueStore)` wherever you
 * like. Provide it to `Discovery.layer`. What the store fails to do is logged and never fatal.
 *
 * @category services
 * @since 0.1.0
 */
export const Memory = Context.Reference<TextStore | undefined>("@muster/runtime/Discovery/Memory", {
  defaultValue: () => undefined
})

/**
 * Discovery over the `Resolver` of a back end.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = Layer.effect(
  Discovery,
  Effect.gen(function* () {
    const recorder = yield* Recorder
    const make = yield* Actor.factory(recorder, yield* Memory)
    const actors = new Map<ServiceName, Actor.DiscoveryActor>()

    const actorOf = (service: ServiceName): Actor.DiscoveryActor => {
      const known = actors.get(service)
      if (known !== undefined) return known
      const actor = make(service)
      actors.set(service, actor)
      return actor
    }

    const running = yield* RcMap.make({
      lookup: (service: ServiceName) =>
        Effect.suspend(() => {
          const actor = actorOf(service)
          const forget = Effect.sync(() => {
            if (!actor.knowsAnybody()) actors.delete(service)
          })
          return Effect.as(
            Effect.andThen(
              Effect.addFinalizer(() => forget),
              actor.run
            ),
            actor.subscription
          )
        }),
      idleTimeToLive: yield* Policy.IdleAfter
    })

    const subscribe = (service: ServiceName) => RcMap.get(running, service)

    return Discovery.of({
      subscribe,
      state: Effect.fn("Discovery.state")((service: ServiceName) =>
        Effect.scoped(Effect.map(subscribe(service), (subscription) => subscription.current()))
      )
    })
  })
)
