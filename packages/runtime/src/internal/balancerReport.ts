/**
 * What the balancer tells the people who run it: a metric for every attempt, one log line for each thing that matters.
 *
 * Counting is synchronous and cheap. The metrics of an instance go when the instance goes.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Metric from "effect/Metric"
import type * as Endpoint from "@muster/core/Endpoint"
import type { Evidence, Health } from "@muster/core/Health"
import type { Outcome } from "@muster/core/Outcome"
import * as Metrics from "@muster/core/Metrics"
import type * as Roster from "@muster/core/Roster"
import * as Tally from "./tally.ts"

const outcomes = {
  Succeeded: "succeeded",
  Failed: "failed",
  Refused: "refused",
  PushedBack: "pushed-back",
  Interrupted: "interrupted"
} satisfies Record<Outcome["_tag"], string>

/** `ejected` says how many are out. */
export const make = (service: Endpoint.ServiceName, context: Context.Context<never>, ejected: () => number) => {
  const retries = Metric.withAttributes(Metrics.retries, { service })
  const hedges = Metric.withAttributes(Metrics.hedges, { service })
  const retriesRefused = Metric.withAttributes(Metrics.retriesRefused, { service })
  const ejections = Metric.withAttributes(Metrics.ejections, { service })
  const ejectedEndpoints = Metric.registerUnsafe(
    Metric.withAttributes(Metrics.ejectedEndpoints, { service }),
    context,
    { get: () => ({ value: ejected() }), update: constVoid, modify: constVoid }
  )
  const restarts = Metric.withAttributes(Metrics.restarts, { service, actor: "Balancer" })
  const requests = new Map<Endpoint.InstanceId, Partial<Record<Outcome["_tag"], Tally.Tally>>>()
  let isReleased = false

  const begin = (instance: Endpoint.InstanceId, tag: Outcome["_tag"]): Tally.Tally => {
    const tally = Tally.make(Metrics.requests, { service, instance, outcome: outcomes[tag] }, context)
    const tallies = requests.get(instance) ?? {}
    tallies[tag] = tally
    requests.set(instance, tallies)
    return tally
  }

  const forget = (instance: Endpoint.InstanceId): void => {
    for (const { series } of Object.values(requests.get(instance) ?? {})) series.remove()
    requests.delete(instance)
  }

  return {
    ended: ({ departed, id }: Roster.Member, { _tag }: Outcome): void => {
      if (departed || isReleased) return
      const tally = requests.get(id)?.[_tag] ?? begin(id, _tag)
      tally.count++
    },
    retried: (): void => retries.updateUnsafe(1, context),
    hedged: (): void => hedges.updateUnsafe(1, context),
    retryRefused: (): void => retriesRefused.updateUnsafe(1, context),
    happened: (event: Roster.Event): void => {
      if (event._tag === "Left") forget(event.endpoint.id)
      // A probe that was cancelled leaves its instance where it was.
      if (event._tag !== "HealthChanged" || event.event._tag !== "Failed") return
      if (event.health._tag === "Ejected") ejections.updateUnsafe(1, context)
    },
    released: (): void => {
      isReleased = true
      for (const instance of requests.keys()) forget(instance)
      ejectedEndpoints.remove()
    },
    died: (defect: string) =>
      Effect.andThen(
        Effect.sync(() => restarts.updateUnsafe(1, context)),
        Effect.logError(`the balancer died and is started again, with the instances that it knows: ${defect}`)
      )
  }
}

/** The log line of an event. */
export const log = (event: Roster.Event): Effect.Effect<void> => {
  const { endpoint } = event
  const annotated = Effect.annotateLogs({ service: endpoint.service, instance: endpoint.id })
  switch (event._tag) {
    case "Joined":
      return annotated(Effect.logDebug(`${endpoint.address} joined`))
    case "Left":
      return annotated(Effect.logDebug(`${endpoint.address} left`))
    case "HealthChanged":
      return annotated(announce(event, event.health))
  }
}

const announce = (event: Extract<Roster.Event, { readonly _tag: "HealthChanged" }>, health: Health) => {
  const { address } = event.endpoint
  switch (health._tag) {
    case "Ejected":
      return event.event._tag === "Failed"
        ? Effect.logWarning(
            `${address} is out for ${((health.until - health.since) / 1000).toFixed(1)} s: ${why(event.event.evidence)}`
          )
        : Effect.logDebug(`${address} is still out: its probe was cancelled`)
    case "Probing":
      return Effect.logDebug(`${address} is probed with one request`)
    case "Warming":
      return Effect.logInfo(`${address} is back and warms up`)
    case "Healthy":
      return Effect.logInfo(`${address} is warm`)
  }
}

const why = ({ refused, streak, requests, successRate }: Evidence) => {
  if (refused) return "it refused the connection"
  const rate = `${Math.round(successRate * 100)} % of ${Math.round(requests)} requests succeeded`
  return streak > 1 ? `${streak} failures in a row, ${rate}` : rate
}
