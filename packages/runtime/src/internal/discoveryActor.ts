/**
 * The actor that follows one service. Its fibers only obtain an event, stamp it, and dispatch it: `follow` listens to
 * the registry, `expire` keeps the deadlines of held instances, `probe` asks held addresses whether anybody is there,
 * `remember` keeps the snapshot for the next run and finds that of the last one.
 *
 * `dispatch` is the one writer of the state. A defect in any fiber freezes the state, is logged and counted, and all
 * fibers are started again by `Policy.Restart`.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { Change, Cursor } from "@muster/core/Change"
import * as State from "@muster/core/DiscoveryState"
import type { InstanceId, ServiceName } from "@muster/core/Endpoint"
import type { Departed } from "@muster/core/Guard"
import * as Guard from "@muster/core/Guard"
import * as Policy from "@muster/core/Policy"
import { RegistryError, TimedOut } from "@muster/core/RegistryError"
import { Resolver } from "@muster/core/Resolver"
import * as Snapshot from "@muster/core/Snapshot"
import { ConnectProbe } from "../ConnectProbe.ts"
import type { Subscription, TextStore } from "../Discovery.ts"
import * as Report from "./discoveryReport.ts"
import { steps } from "./pauses.ts"
import * as Remembering from "./remembering.ts"
import * as StateCell from "./stateCell.ts"

type Held = HashMap.HashMap<InstanceId, Departed>

export interface DiscoveryActor {
  readonly subscription: Subscription
  /** Follows the service until the scope closes. */
  readonly run: Effect.Effect<void, never, Scope.Scope>
  /** Whether there is anybody to serve from: a name that exists nowhere is listed as one that has nobody. */
  readonly knowsAnybody: () => boolean
}

/** Reads the policies once and gives a constructor of actors. */
export const factory = Effect.fnUntraced(function* (
  record: (service: ServiceName, event: State.Event) => void,
  memory: TextStore | undefined
) {
  const resolver = yield* Resolver
  const clock = yield* Clock.Clock
  const probeConnection = yield* ConnectProbe
  const rewatch = yield* Policy.Rewatch
  const restart = yield* Policy.Restart
  const settledAfter = Duration.toMillis(yield* Policy.SettledAfter)
  const openDeadline = yield* Policy.OpenDeadline
  const fullRead = yield* Policy.FullRead
  const massRemoval = yield* Policy.MassRemoval
  const step = State.step(massRemoval)
  const rememberIn = yield* Remembering.factory(memory)
  const context = yield* Effect.context()

  return (service: ServiceName): DiscoveryActor => {
    const cell = StateCell.make(State.initial)
    /** Of the state, what is held: nobody who waits for that is woken by every change. */
    const holding = StateCell.make(nothingHeld)
    const startedAt = clock.monotonicTimeNanosUnsafe()
    const again = Latch.makeUnsafe(false)
    const one = Semaphore.makeUnsafe(1)
    const now = () => Number(clock.monotonicTimeNanosUnsafe() - startedAt) / 1e6
    const ageNow = () => age(State.asOf(cell.get(), now()), now(), clock.currentTimeMillisUnsafe())
    const report = Report.make(service, context, ageNow)

    const dispatch = (event: State.Event) =>
      Effect.suspend(() => {
        record(service, event)
        const before = cell.get()
        const after = step(before, event)
        cell.set(after)
        holding.set(State.isKnown(after) ? after.held : nothingHeld)
        return before === after ? Effect.void : report.transition(before, after)
      })

    const hear = (change: Change) => {
      const skipped = change._tag === "Resumed" ? [] : change.skipped
      const heard = dispatch({ ...change, at: now() })
      return skipped.length === 0 ? heard : Effect.andThen(heard, report.skipped(skipped))
    }

    /** Listens until the stream is lost, and tells why. */
    const listen = (from: Cursor | undefined, opened: Latch.Latch) =>
      Stream.runForEach(resolver.watch(service, from), (change) => Effect.andThen(hear(change), opened.open)).pipe(
        Effect.match({
          onSuccess: (): State.Cause => ({ _tag: "Ended" }),
          onFailure: (error): State.Cause => ({ _tag: "Failed", error })
        })
      )

    const holds: Stream.Stream<Held> = holding.changes

    const ofHeld = (when: typeof Guard.nextExpiry) => {
      const state = cell.get()
      return State.isKnown(state) ? when(state, massRemoval) : undefined
    }

    /** Completes when the inventory should be read as a whole: now and then, and soon once instances are held. */
    const fullReadDue = Effect.suspend(() => {
      const openedAt = now()
      return holds.pipe(
        Stream.switchMap((held) => Stream.fromEffect(Effect.flatMap(untilFullRead(held, openedAt), Effect.sleep))),
        Stream.take(1),
        Stream.runDrain
      )
    })

    const untilFullRead = (held: Held, openedAt: number) => {
      for (const { at } of HashMap.values(held)) if (at >= openedAt) return between(fullRead.early)
      const believedAt = ofHeld(Guard.nextBelief)
      if (believedAt === undefined) return between(fullRead.after)
      const believedIn = Duration.millis(Math.max(0, believedAt - now()))
      return Effect.map(between(fullRead.early), Duration.sum(believedIn))
    }

    /** Keeps a watch open; a full read is a watch without a cursor. */
    const watch = Effect.gen(function* () {
      const state = cell.get()
      let from = State.isKnown(state) ? state.cursor : undefined
      while (true) {
        const opened = Latch.makeUnsafe(false)
        const due = Effect.timeoutOption(opened.await, openDeadline).pipe(
          Effect.flatMap((begun) =>
            Option.isSome(begun)
              ? Effect.as(fullReadDue, undefined)
              : Effect.succeed(silent(resolver.registry, service))
          )
        )
        const lost = yield* Effect.raceFirst(listen(from, opened), due)
        if (lost !== undefined) return lost
        from = undefined
      }
    })

    /**
     * Watches, freezes and watches again until `Policy.Rewatch` ends. How long an attempt waited in vain is part of the
     * pause after it, all but a twentieth: whoever waits for a registry that is away does not sleep through its return.
     */
    const followUntilGivenUp = Effect.gen(function* () {
      let next = yield* steps(rewatch)
      while (true) {
        const begunAt = now()
        yield* dispatch({ _tag: "AttemptStarted", at: begunAt })
        const cause = yield* watch
        const state = cell.get()
        const waited = state._tag === "Live" ? 0 : now() - begunAt
        const settled = state._tag === "Live" && now() - state.since >= settledAfter
        yield* dispatch({ _tag: "Disconnected", at: now(), cause })
        if (settled) next = yield* steps(rewatch)
        const pause = yield* next(cause)
        yield* Effect.sleep(
          Duration.max(Duration.subtract(pause, Duration.millis(waited)), Duration.times(pause, 1 / 20))
        )
      }
    }).pipe(Pull.catchDone(() => dispatch({ _tag: "GaveUp", at: now() })))

    const follow = Effect.forever(
      Effect.andThen(
        followUntilGivenUp,
        Effect.suspend(() => {
          again.closeUnsafe()
          return again.await
        })
      )
    )

    /** A timer of Node may fire a millisecond or two early: a hold has ended when it was to. */
    const expire = holds.pipe(
      Stream.switchMap(() => {
        const next = ofHeld(Guard.nextExpiry)
        return next === undefined
          ? Stream.empty
          : Stream.fromEffect(
              Effect.andThen(
                Effect.suspend(() => Effect.sleep(Duration.millis(Math.max(0, next - now())))),
                Effect.suspend(() => dispatch({ _tag: "Ticked", at: Math.max(next, now()) }))
              )
            )
      }),
      Stream.runDrain
    )

    const refused = (id: InstanceId) => Effect.suspend(() => dispatch({ _tag: "Unreachable", at: now(), id }))

    const probe = holds.pipe(
      Stream.mapAccum(
        () => nothingHeld,
        (before, held) => [held, [...held].filter(([id]) => !HashMap.has(before, id))]
      ),
      Stream.mapEffect(
        ([id, { endpoint }]) =>
          Effect.flatMap(probeConnection(endpoint), (answer) => (answer === "refused" ? refused(id) : Effect.void)),
        { concurrency: 16 }
      ),
      Stream.runDrain
    )

    const die = (cause: Cause.Cause<never>) =>
      Effect.gen(function* () {
        const defect = Cause.pretty(cause)
        yield* dispatch({ _tag: "Disconnected", at: now(), cause: { _tag: "Died", defect } })
        yield* report.died(defect)
        return yield* Effect.fail("died" as const)
      })

    const remember = rememberIn({ registry: resolver.registry, service, cell, now, dispatch })

    const life = Effect.all([follow, expire, probe, remember], { concurrency: "unbounded", discard: true }).pipe(
      Effect.catchCauseIf((cause) => !Cause.hasInterruptsOnly(cause), die),
      Effect.retry(restart),
      Effect.ignore,
      Effect.onInterrupt(() => dispatch({ _tag: "Disconnected", at: now(), cause: { _tag: "Idle" } })),
      one.withPermits(1),
      Effect.annotateLogs({ service, registry: resolver.registry })
    )

    return {
      subscription: {
        service,
        current: cell.get,
        changes: cell.changes,
        refused,
        age: Effect.sync(ageNow),
        retry: Effect.sync(() => {
          if (cell.get()._tag === "Failed") again.openUnsafe()
        })
      },
      run: Effect.andThen(
        Effect.addFinalizer(() => Effect.sync(report.released)),
        Effect.asVoid(Effect.forkScoped(life))
      ),
      knowsAnybody: () => {
        const state = cell.get()
        return State.isKnown(state) && Snapshot.size(state.snapshot) > 0
      }
    }
  }
})

const nothingHeld: Held = HashMap.empty()

const between = ([least, most]: readonly [Duration.Duration, Duration.Duration]) =>
  Effect.map(Random.nextBetween(Duration.toMillis(least), Duration.toMillis(most)), Duration.millis)

const age = (asOf: State.AsOf | undefined, now: number, wall: number): Duration.Duration | undefined => {
  switch (asOf?._tag) {
    case "Observed":
      return Duration.millis(now - asOf.at)
    case "Saved":
      return Duration.millis(Math.max(0, wall - asOf.savedAt))
    case undefined:
      return undefined
  }
}

const silent = (registry: string, service: ServiceName): State.Cause => ({
  _tag: "Failed",
  error: new RegistryError({
    registry,
    key: service,
    reason: new TimedOut({ message: "the watch did not begin in time; is the registry reachable?" })
  })
})
