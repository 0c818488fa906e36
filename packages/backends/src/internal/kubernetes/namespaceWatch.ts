/**
 * One list-and-watch of a namespace, shared by all who watch a service in it.
 *
 * It goes on where the inventory stands if that is known, and lists first if it is not. A watch that ends after a
 * decent life, or falls silent, is opened again where it ended; a lost history is repaired by a listing. Anything else
 * ends it for all, because when to try again is not its to decide. Every end that was not planned is followed by a
 * listing, because a restored API server may know another history by our number; what nobody waits for is spread by
 * jitter.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"
import * as RcMap from "effect/RcMap"
import * as Stream from "effect/Stream"
import * as Policy from "@muster/core/Policy"
import { type RegistryErrorReason, Unavailable } from "@muster/core/RegistryError"
import type { Api, Event } from "./api.ts"
import type { Inventory } from "./inventory.ts"

/** One list-and-watch of a namespace. */
export interface NamespaceWatch {
  /** Completes once the inventory is followed, with a listing of its own for somebody who `hurries` to have data. */
  readonly opened: (hurries: boolean) => Effect.Effect<void, RegistryErrorReason>
  /** Fails once the inventory is no longer followed. */
  readonly check: Effect.Effect<void, RegistryErrorReason>
  readonly isLost: () => boolean
  /** How often the namespace was listed. */
  readonly listings: () => number
  /** Reads the slices of one Service; lists the whole namespace where they are not what the watch told. */
  readonly verify: (service: string) => Effect.Effect<void, RegistryErrorReason>
}

/** Follows a namespace until it is lost or the scope closes. */
export const make = Effect.fnUntraced(function* (api: Api, inventory: Inventory, namespace: string) {
  const policy = yield* Policy.SharedWatch
  const deadline = yield* Policy.CallDeadline
  const settledAfter = Duration.toMillis(yield* Policy.SettledAfter)
  const opened = yield* Deferred.make<void, RegistryErrorReason>()
  const failure = yield* Deferred.make<never, RegistryErrorReason>()
  const planned = yield* FiberHandle.make()
  /** Those who ask for one service at the same time share the answer. */
  const listed = yield* RcMap.make({ lookup: (service: string) => api.list(namespace, service) })
  const logged = new Set<string>()
  let relisted = yield* Deferred.make<void>()
  let relist = Latch.makeUnsafe()
  let listings = 0
  /** Whether the history may be another one than the one that the inventory was told. */
  let isDoubtful = inventory.position() !== undefined

  const isLost = () => Deferred.isDoneUnsafe(failure)

  /** What belongs to no service that could tell it is logged, once. */
  const unknown = (problems: Iterable<string>) =>
    Effect.forEach(
      problems,
      (problem) => {
        if (logged.has(problem)) return Effect.void
        logged.add(problem)
        return Effect.logWarning("the API server told what is no EndpointSlice", { namespace, problem })
      },
      { discard: true }
    )

  const list = Effect.gen(function* () {
    const waiting = relisted
    relisted = yield* Deferred.make<void>()
    relist = Latch.makeUnsafe()
    yield* FiberHandle.clear(planned)
    const { problems, resourceVersion, slices } = yield* api.list(namespace)
    inventory.replace(slices, yield* Clock.currentTimeMillis)
    inventory.setPosition(resourceVersion)
    listings++
    isDoubtful = false
    yield* unknown(problems)
    yield* Deferred.succeed(waiting, undefined)
    yield* Deferred.succeed(opened, undefined)
  })

  const hear = (event: Event) =>
    Effect.flatMap(Clock.currentTimeMillis, (at) => {
      switch (event._tag) {
        case "Unknown":
          return unknown([event.problem])
        case "Bookmark":
          inventory.setPosition(event.resourceVersion)
          return Effect.void
        case "Put":
          inventory.put(event.slice, at)
          break
        case "Deleted":
          inventory.remove(event.slice.uid, at)
      }
      inventory.setPosition(event.slice.resourceVersion)
      return Effect.void
    })

  const askForListing = Effect.sync(() => relist.openUnsafe())
  const askedForListing = Effect.suspend(() => relist.await)

  /** Asks for a listing at a moment of its own. */
  const planListing = FiberHandle.run(
    planned,
    Effect.andThen(Effect.flatMap(between([Duration.zero, policy.relist]), Effect.sleep), askForListing),
    { onlyIfMissing: true }
  )

  /** One watch, from open to end. */
  const watch = Effect.fnUntraced(function* (position: string) {
    const life = yield* between(policy.life)
    const events = yield* api.watch(namespace, position, life)
    yield* Deferred.succeed(opened, undefined)
    if (isDoubtful) yield* planListing
    const begun = yield* Clock.monotonicTimeNanos
    yield* events.pipe(
      Stream.timeoutOrElse({ duration: policy.silence, orElse: () => Stream.empty }),
      Stream.runForEach(hear),
      Effect.timeoutOption(Duration.sum(life, deadline))
    )
    const lived = Number((yield* Clock.monotonicTimeNanos) - begun) / 1e6
    isDoubtful = lived < Duration.toMillis(life)
    if (lived >= settledAfter) return
    return yield* new Unavailable({ message: `the API server ended the watch after ${Math.round(lived)} ms` })
  }, Effect.scoped)

  const next = Effect.suspend(() => {
    const position = inventory.position()
    if (position === undefined) return list
    return Effect.raceFirst(
      Effect.catchTag(watch(position), "Expired", () => Effect.andThen(planListing, Effect.never)),
      Effect.andThen(
        askedForListing,
        Effect.sync(() => inventory.setPosition(undefined))
      )
    )
  })

  yield* Effect.forever(next).pipe(
    Effect.onError((cause) =>
      Effect.sync(() => {
        Deferred.doneUnsafe(failure, Effect.failCause(cause))
        Deferred.doneUnsafe(opened, Effect.failCause(cause))
        inventory.wake()
      })
    ),
    Effect.forkScoped
  )

  const self: NamespaceWatch = {
    opened: (hurries) =>
      Effect.suspend(() => {
        if (hurries && inventory.position() !== undefined && !Deferred.isDoneUnsafe(opened)) relist.openUnsafe()
        return Deferred.await(opened)
      }),
    check: Effect.suspend(() => (isLost() ? Deferred.await(failure) : Effect.void)),
    isLost,
    listings: () => listings,
    verify: Effect.fnUntraced(function* (service: string) {
      const { slices } = yield* Effect.scoped(RcMap.get(listed, service))
      if (inventory.agrees(service, slices)) return
      const answered = Deferred.await(relisted)
      yield* askForListing
      yield* Effect.raceFirst(answered, Deferred.await(failure))
    })
  }
  return self
})

const between = ([least, most]: readonly [Duration.Duration, Duration.Duration]) =>
  Effect.map(Random.nextBetween(Duration.toMillis(least), Duration.toMillis(most)), Duration.millis)
