/**
 * What discovery tells the people who run it: metrics for every change, one log line for each thing that matters.
 *
 * A malformed entry is counted whenever it is seen and logged once.
 */
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Metric from "effect/Metric"
import type { Skipped } from "@muster/core/Change"
import * as State from "@muster/core/DiscoveryState"
import type { ServiceName } from "@muster/core/Endpoint"
import * as Metrics from "@muster/core/Metrics"

/** So many different malformed entries are told apart; beyond that they are only counted. */
const maxRemembered = 1000

export const make = (service: ServiceName) => {
  const endpoints = Metric.withAttributes(Metrics.endpoints, { service })
  const heldEndpoints = Metric.withAttributes(Metrics.heldEndpoints, { service })
  const frozen = Metric.withAttributes(Metrics.frozen, { service })
  const skippedEntries = Metric.withAttributes(Metrics.skippedEntries, { service })
  const restarts = Metric.withAttributes(Metrics.restarts, { service, actor: "Discovery" })
  const logged = new Set<string>()

  const transition = Effect.fnUntraced(function* (before: State.DiscoveryState, after: State.DiscoveryState) {
    if (State.isKnown(after)) {
      yield* Metric.update(endpoints, HashMap.size(after.snapshot.endpoints))
      yield* Metric.update(heldEndpoints, HashMap.size(after.held))
    }
    if (before._tag === after._tag) return
    yield* Metric.update(frozen, after._tag === "Frozen" || after._tag === "Resyncing" ? 1 : 0)
    yield* announce(before, after)
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

  return { transition, skipped, died }
}

const announce = (before: State.DiscoveryState, after: State.DiscoveryState): Effect.Effect<void> => {
  switch (after._tag) {
    case "Live":
      return Effect.logInfo(`follows the registry: ${HashMap.size(after.snapshot.endpoints)} endpoints`)
    case "Failed":
      return Effect.logError(`gave up on the registry: ${describe(after.cause)}`)
    case "Frozen":
      return before._tag === "Live" && after.cause?._tag !== "Idle"
        ? Effect.logWarning(
            `lost sight of the registry and keeps serving ${HashMap.size(after.snapshot.endpoints)} endpoints: ` +
              describe(after.cause)
          )
        : Effect.void
    default:
      return Effect.void
  }
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
