/**
 * What discovery tells the people who run it: metrics for every change, one log line for each thing that matters.
 *
 * A malformed entry is counted whenever it is seen and logged once. Of a service that nobody asks for, gauges tell nothing.
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
    } else if (State.isKnown(before)) {
      yield* Metric.update(endpoints, 0)
      yield* Metric.update(heldEndpoints, 0)
      hideAge()
    }
    if (before._tag === after._tag) return
    const isFrozen = after._tag === "Frozen" || after._tag === "Resyncing"
    yield* Metric.update(frozen, isFrozen ? 1 : 0)
    yield* Metric.update(remembered, isFrozen && after.asOf._tag === "Saved" ? 1 : 0)
    yield* announce(before, after, ageNow())
  })

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
    for (const gauge of [endpoints, heldEndpoints, frozen, remembered]) Metric.removeUnsafe(gauge, context)
  }

  return { transition, skipped, died, released }
}

const announce = (
  before: State.DiscoveryState,
  after: State.DiscoveryState,
  age: Duration.Duration | undefined
): Effect.Effect<void> => {
  switch (after._tag) {
    case "Live":
      return Effect.logInfo(`follows the registry: ${counted(after)}`)
    case "Failed":
      return Effect.logError(`gave up on the registry: ${describe(after.cause)}`)
    case "Frozen":
      if (before._tag === "Loading" && age !== undefined) {
        return Effect.logWarning(
          `the registry does not answer (${describe(after.cause)}): serves ${counted(after)} remembered ${Duration.format(age)} ago`
        )
      }
      return before._tag === "Live" && after.cause?._tag !== "Idle"
        ? Effect.logWarning(`lost sight of the registry and keeps serving ${counted(after)}: ${describe(after.cause)}`)
        : Effect.void
    default:
      return Effect.void
  }
}

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
