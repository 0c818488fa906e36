/**
 * What discovery tells the people who run it: metrics for every change, one log line for each thing that matters.
 *
 * A malformed entry is counted whenever it is seen and logged once; so is each reason why the registry is not followed,
 * until it is again. Of a service that nobody asks for, gauges tell nothing.
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as HashMap from "effect/HashMap"
import * as Metric from "effect/Metric"
import type { Skipped } from "@muster/core/Change"
import * as State from "@muster/core/DiscoveryState"
import type { ServiceName } from "@muster/core/Endpoint"
import * as Metrics from "@muster/core/Metrics"
import * as Series from "./series.ts"

/** So many different malformed entries are told apart; beyond that they are only counted. */
const maxRemembered = 1000

export const make = (
  service: ServiceName,
  context: Context.Context<never>,
  ageNow: () => Duration.Duration | undefined
) => {
  const endpoints = Series.gauge(Metrics.endpoints, { service })
  const heldEndpoints = Series.gauge(Metrics.heldEndpoints, { service })
  const frozen = Metric.withAttributes(Metrics.frozen, { service })
  const remembered = Metric.withAttributes(Metrics.remembered, { service })
  const age = Metric.withAttributes(Metrics.age, { service })
  const skippedEntries = Metric.withAttributes(Metrics.skippedEntries, { service })
  const restarts = Metric.withAttributes(Metrics.restarts, { service, actor: "Discovery" })
  const logged = new Set<string>()
  /** The reasons of the outage that have been logged. */
  const reasons = new Set<string>()
  let series: Metric.Registration | undefined

  /** Read when metrics are, because it grows by itself. */
  const showAge = (): void => {
    series ??= Metric.registerUnsafe(age, context, {
      get: () => ({ value: Duration.toSeconds(ageNow() ?? Duration.zero) }),
      update: constVoid,
      modify: constVoid
    })
  }

  const hideAge = (): void => {
    series?.remove()
    series = undefined
  }

  const transition = Effect.fnUntraced(function* (before: State.DiscoveryState, after: State.DiscoveryState) {
    if (State.isKnown(after)) {
      yield* Metric.update(endpoints, HashMap.size(after.snapshot.endpoints))
      yield* Metric.update(heldEndpoints, HashMap.size(after.held))
      showAge()
    } else {
      yield* Metric.update(endpoints, 0)
      yield* Metric.update(heldEndpoints, 0)
      hideAge()
    }
    if (before._tag !== after._tag) {
      const isFrozen = after._tag === "Frozen" || after._tag === "Resyncing"
      yield* Metric.update(frozen, isFrozen ? 1 : 0)
      yield* Metric.update(remembered, isFrozen && after.asOf._tag === "Saved" ? 1 : 0)
    }
    yield* announce(before, after)
  })

  const announce = (before: State.DiscoveryState, after: State.DiscoveryState): Effect.Effect<void> => {
    switch (after._tag) {
      case "Live":
        if (before._tag === "Live") return Effect.void
        reasons.clear()
        return Effect.logInfo(`follows the registry: ${counted(after)}`)
      case "Failed":
        reasons.clear()
        return Effect.logError(`gave up on the registry: ${describe(after.cause)}`)
      default: {
        const reason = reasonOf(after.cause)
        const isRecalled = before._tag === "Loading" && after._tag === "Frozen"
        const trouble = isRecalled || !reasons.has(reason) ? troubleOf(before, after, ageNow()) : undefined
        if (trouble === undefined) return Effect.void
        reasons.add(reason)
        return Effect.logWarning(trouble)
      }
    }
  }

  const skipped = Effect.fnUntraced(function* (entries: ReadonlyArray<Skipped>) {
    yield* Metric.update(skippedEntries, entries.length)
    for (const { key, problem } of entries) {
      const what = `skipped the entry ${key}: ${problem}`
      if (logged.has(what) || logged.size >= maxRemembered) continue
      logged.add(what)
      yield* Effect.logWarning(what)
    }
  })

  const died = (defect: string) =>
    Effect.andThen(Metric.update(restarts, 1), Effect.logError(`discovery died and is started again: ${defect}`))

  const released = (): void => {
    hideAge()
    reasons.clear()
    for (const gauge of [endpoints, heldEndpoints, frozen, remembered]) Metric.removeUnsafe(gauge, context)
  }

  return { transition, skipped, died, released }
}

type Out = State.Loading | State.Frozen | State.Resyncing

/** What there is to say of a registry that is not followed, if this is the moment to say it. */
const troubleOf = (before: State.DiscoveryState, after: Out, age: Duration.Duration | undefined) => {
  const why = describe(after.cause)
  const isOurs = after.cause === undefined || after.cause._tag === "Idle"
  if (after._tag === "Loading") {
    // The second attempt tells of the first: until then a remembered snapshot may be found.
    return isOurs || after.attempt < 2 ? undefined : `cannot follow the registry and keeps trying: ${why}`
  }
  const endpoints = counted(after)
  if (before._tag === "Loading" && age !== undefined) {
    return `the registry does not answer (${why}): serves ${endpoints} remembered ${Duration.format(age)} ago`
  }
  if (isOurs) return undefined
  return before._tag === "Live"
    ? `lost sight of the registry and keeps serving ${endpoints}: ${why}`
    : `cannot follow the registry and keeps serving ${endpoints}: ${why}`
}

/** The kind of failure; what it says may differ from attempt to attempt. */
const reasonOf = (cause: State.Cause | undefined): string =>
  cause?._tag === "Failed" ? cause.error.reason._tag : (cause?._tag ?? "none")

const counted = ({ snapshot }: State.Known): string => {
  const size = HashMap.size(snapshot.endpoints)
  return size === 1 ? "1 endpoint" : `${size} endpoints`
}

/** Why the registry is not being followed, in words. */
export const describe = (cause: State.Cause | undefined): string => {
  switch (cause?._tag) {
    case "Failed":
      return cause.error.message
    case "Died":
      return cause.defect
    case "Ended":
      return "the watch ended"
    case "Idle":
      return "nobody was subscribed"
    default:
      return "it never answered"
  }
}
