/**
 * The actor that balances one service. Its one fiber follows the snapshot of Discovery into a roster; requests read and
 * measure the roster synchronously and never wait for the fiber.
 *
 * A defect in the fiber freezes the candidates, is logged and counted, and it runs again by `Policy.Restart`. It ends
 * once nobody has asked for `Policy.IdleAfter` and nothing is in flight.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import * as Attempt from "@muster/core/Attempt"
import * as DiscoveryState from "@muster/core/DiscoveryState"
import type { InstanceId, ServiceName } from "@muster/core/Endpoint"
import * as Explain from "@muster/core/Explain"
import * as Load from "@muster/core/Load"
import * as LoadReport from "@muster/core/LoadReport"
import type { Outcome } from "@muster/core/Outcome"
import * as Policy from "@muster/core/Policy"
import * as Quantile from "@muster/core/Quantile"
import * as RetryBudget from "@muster/core/RetryBudget"
import * as Roster from "@muster/core/Roster"
import type { Status } from "../Balancer.ts"
import { Discovery, type Subscription } from "../Discovery.ts"
import { HealthCheck } from "../HealthCheck.ts"
import * as Checking from "./checking.ts"
import * as Report from "./balancerReport.ts"
import * as Subsetting from "./subsetting.ts"
import * as Surroundings from "./surroundings.ts"

export interface BalancerActor {
  readonly service: ServiceName
  /** What attempts are provided with. */
  readonly surroundings: ReturnType<typeof Surroundings.make>
  /** Chooses an instance and counts a request in flight there; `undefined` when there is none. */
  readonly pick: (
    repeatable: boolean,
    after: ReadonlyArray<Attempt.Attempt>,
    key: string | undefined
  ) => Attempt.Attempt | undefined
  /** Takes note of what the instance said of itself. */
  readonly note: (attempt: Attempt.Attempt, report: LoadReport.LoadReport) => void
  /** Pays for one retry or hedge, or says that the budget is spent. */
  readonly mayRetry: () => boolean
  /** What became of it: it was sent, or there was nobody to send it to. */
  readonly retried: (isHedge: boolean) => void
  readonly notRetried: () => void
  /** The time within which this share of the answers comes, in milliseconds; asking makes it be measured. */
  readonly percentile: (share: number) => number | undefined
  readonly settle: (attempt: Attempt.Attempt, outcome: Outcome) => void
  readonly end: (attempt: Attempt.Attempt) => void
  /** Completes when a pick can succeed. */
  readonly pickable: Effect.Effect<void>
  /** Completes when the state of discovery was read for the first time, or never will be. */
  readonly attached: Effect.Effect<void>
  /** Keeps the service in use for as long as somebody waits for something. */
  readonly whileWaiting: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Says that it will not be read any more. */
  readonly detach: () => void
  readonly isDetached: () => boolean
  readonly subscription: () => Subscription | undefined
  readonly status: () => ReadonlyArray<Status>
  readonly explain: () => Explain.Explanation
  /** Why no instance is left for a request that was tried on some. */
  readonly excluded: (after: ReadonlyArray<Attempt.Attempt>) => ReadonlyArray<Explain.Excluded>
  /** Follows the service until nobody uses it any more. */
  readonly run: Effect.Effect<void>
}

/** A service is kept at least so long, in milliseconds: whoever opens it has time to wait for it, however short the policy. */
const shortestIdle = 1000

/** Reads the policies once and gives a constructor of actors; `hear` is told what happens, synchronously. */
export const factory = Effect.fnUntraced(function* (hear: (event: Roster.Event) => void) {
  const discovery = yield* Discovery
  const clock = yield* Clock.Clock
  const generator = yield* Random.Random
  const context = yield* Effect.context()
  const options = yield* Roster.options
  const healthCheck = yield* HealthCheck
  const subsetOf = yield* Subsetting.factory
  const budgetOptions = yield* Policy.RetryBudget
  const restart = yield* Policy.Restart
  const idleAfter = Math.max(shortestIdle, Duration.toMillis(yield* Policy.IdleAfter))

  const random = () => generator.nextDoubleUnsafe()

  return (service: ServiceName): BalancerActor => {
    const startedAt = clock.monotonicTimeNanosUnsafe()
    const now = () => Number(clock.monotonicTimeNanosUnsafe() - startedAt) / 1e6
    const report = Report.make(service, context, () => roster.ejected.size)
    const roster: Roster.Roster = Roster.make(options, (event) => {
      if (event._tag === "Left") picks.delete(event.endpoint.id)
      report.happened(event)
      hear(event)
    })
    const budget = RetryBudget.make({ ...budgetOptions, window: Duration.toMillis(budgetOptions.window) })
    const picks = new Map<InstanceId, number>()
    const subset = subsetOf()
    const percentiles: Array<Quantile.Quantile> = []
    const pickable = Latch.makeUnsafe(false)
    const attached = Latch.makeUnsafe(false)
    let subscription: Subscription | undefined
    let isServing = false
    let isDetached = false
    let usedAt = 0
    let waiting = 0

    const follow = (state: DiscoveryState.DiscoveryState) =>
      Effect.sync(() => {
        isServing = DiscoveryState.isKnown(state)
        if (DiscoveryState.isKnown(state)) {
          const used = subset?.narrow(state.snapshot) ?? state.snapshot
          Roster.apply(roster, used, now(), clock.currentTimeMillisUnsafe())
        }
        if (isServing && Roster.size(roster) > 0) pickable.openUnsafe()
        else pickable.closeUnsafe()
        attached.openUnsafe()
      })

    const die = (cause: Cause.Cause<never>) => {
      attached.openUnsafe()
      return Effect.andThen(report.died(Cause.pretty(cause)), Effect.fail("died" as const))
    }

    const life = discovery.subscribe(service).pipe(
      Effect.flatMap((subscribed) => {
        subscription = subscribed
        const changes = subset === undefined ? Effect.succeed(subscribed.changes) : subset.follow(subscribed)
        return Effect.flatMap(changes, Stream.runForEach(follow))
      }),
      Effect.andThen(Effect.die("discovery has nothing more to say")),
      Effect.scoped,
      Effect.catchCauseIf((cause) => !Cause.hasInterruptsOnly(cause), die),
      Effect.retry(restart),
      Effect.ignore,
      Effect.andThen(Effect.never)
    )

    const checks = healthCheck === undefined ? Effect.never : Checking.rounds(healthCheck, roster, now, random)

    const idle: Effect.Effect<void> = Effect.suspend(() => {
      const remaining = usedAt + idleAfter - now()
      if (remaining <= 0 && roster.load.inFlight === 0 && waiting === 0) return Effect.void
      return Effect.andThen(Effect.sleep(Duration.millis(remaining > 0 ? remaining : idleAfter)), idle)
    })

    return {
      service,
      surroundings: Surroundings.make(service),
      pick: (repeatable, after, key) => {
        if (!isServing) return undefined
        usedAt = now()
        if (after.length === 0) RetryBudget.deposit(budget, usedAt)
        const attempt = Attempt.pick(roster, usedAt, random, repeatable, after, key)
        if (attempt !== undefined) {
          const { id } = attempt.member
          picks.set(id, (picks.get(id) ?? 0) + 1)
        }
        return attempt
      },
      note: ({ member }, report) => {
        if (!member.departed) LoadReport.note(roster.load, member.slot, report, now())
      },
      mayRetry: () => {
        const allowed = RetryBudget.withdraw(budget, now())
        if (!allowed) report.retryRefused()
        return allowed
      },
      retried: (isHedge) => (isHedge ? report.hedged() : report.retried()),
      notRetried: () => RetryBudget.putBack(budget),
      percentile: (share) => {
        const known = percentiles.find((one) => one.share === share)
        if (known !== undefined) return Quantile.get(known)
        percentiles.push(Quantile.make(share))
        return undefined
      },
      settle: (attempt, outcome) => {
        const at = now()
        for (const percentile of attempt.outcome === undefined ? percentiles : []) {
          Quantile.observe(percentile, at - attempt.startedAt, outcome._tag === "Succeeded")
        }
        Attempt.settle(roster, attempt, outcome, at, random)
      },
      end: (attempt) => {
        if (attempt.ended) return
        Attempt.end(roster, attempt)
        if (attempt.outcome !== undefined) report.ended(attempt.member, attempt.outcome)
      },
      pickable: pickable.await,
      attached: attached.await,
      whileWaiting: (effect) =>
        Effect.suspend(() => {
          waiting++
          return Effect.ensuring(
            effect,
            Effect.sync(() => waiting--)
          )
        }),
      detach: () => {
        isDetached = true
        report.released()
        attached.openUnsafe()
      },
      isDetached: () => isDetached,
      subscription: () => subscription,
      status: () =>
        Array.from(roster.members.values(), ({ endpoint, health, slot }) => ({
          endpoint,
          health,
          requestsInFlight: Load.requestsInFlight(roster.load, slot)
        })),
      explain: () => {
        const state = subscription?.current()
        const known = state !== undefined && DiscoveryState.isKnown(state) ? state : undefined
        return Explain.of(roster, now(), {
          picks: (id) => picks.get(id) ?? 0,
          isHeld: (id) => known !== undefined && HashMap.has(known.held, id),
          listed: known === undefined ? [] : HashMap.values(known.snapshot.endpoints)
        })
      },
      excluded: (after) => Explain.excluded(roster, after, now()),
      run: Effect.annotateLogs(Effect.raceAllFirst([life, idle, checks]), { service })
    }
  }
})
