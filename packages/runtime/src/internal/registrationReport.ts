/**
 * What a registration tells the people who run it: metrics for every event, one log line for each thing that matters.
 *
 * A failure that repeats is counted each time and logged once, until something else happens.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { Endpoint } from "@muster/core/Endpoint"
import * as Metrics from "@muster/core/Metrics"
import type { RegistryError } from "@muster/core/RegistryError"
import type { Event, RegistrationState } from "@muster/core/RegistrationState"
import * as Series from "./series.ts"
import * as Tally from "./tally.ts"

export const make = (endpoint: Endpoint) => {
  const attributes = { service: endpoint.service, instance: endpoint.id }
  const registered = Series.gauge(Metrics.registered, attributes)
  const restarts = Metric.withAttributes(Metrics.restarts, { ...attributes, actor: "Registrar" })

  /** What there is to say once it is gone. */
  let ending = "stopped before it was registered"

  const events = new Map<Event["_tag"], Tally.Tally>()

  const begin = (event: Event["_tag"], context: Context.Context<never>) => {
    const tally = Tally.make(Metrics.registrationEvents, { ...attributes, event }, context)
    events.set(event, tally)
    return tally
  }

  /** Counts when it is called; what it gives only tells. */
  const happened = (
    event: Event,
    before: RegistrationState,
    after: RegistrationState,
    context: Context.Context<never>
  ): Effect.Effect<void> => {
    const tally = events.get(event._tag) ?? begin(event._tag, context)
    tally.count++
    if (event._tag === "DrainFailed") return Effect.logWarning(`could not tell that it drains: ${event.error.message}`)
    if (before === after) return Effect.void
    if (before._tag === "Idle" || isRegistered(before) !== isRegistered(after)) {
      registered.updateUnsafe(isRegistered(after) ? 1 : 0, context)
    }
    if (after._tag === "Granting" && before._tag === "Idle") ending = "stopped before the registry confirmed its entry"
    if (after._tag === "Registered") ending = "stopped; its entry stays until its lease ends"
    if (after._tag === "Fenced") ending = "stopped; its instance id belongs to a process that started later"
    return after._tag === "Withdrawn" ? Effect.logInfo(ending) : announce(endpoint, before, after, event)
  }

  const died = (defect: string) =>
    Effect.andThen(
      Metric.update(restarts, 1),
      Effect.logError(`the registrar died and is started again, the registration stays as it is: ${defect}`)
    )

  return {
    happened,
    died,
    waiting: Effect.logInfo("not registered yet: waits until requests are answered and the readiness effect says yes"),
    revoked: Effect.sync(() => void (ending = "withdrawn")),
    notRevoked: (error: RegistryError) => Effect.logWarning(`could not withdraw its entry: ${error.message}`),
    stopped: Effect.logError("the registrar is not started again: Policy.Restart has come to its end"),
    gaveUp: (policy: string) => Effect.logError(`gave up on the registration: Policy.${policy} has come to its end`)
  }
}

const isRegistered = ({ _tag }: RegistrationState) => _tag === "Registered" || _tag === "Renewing"

const announce = (
  endpoint: Endpoint,
  before: RegistrationState,
  after: Exclude<RegistrationState, { readonly _tag: "Withdrawn" }>,
  event: Event
): Effect.Effect<void> => {
  switch (after._tag) {
    case "Granting":
      if (event._tag === "EntryMissing") return Effect.logWarning("its entry is gone from the registry; puts it back")
      return after.attempt === 2 && after.error !== undefined
        ? Effect.logWarning(`cannot register and keeps trying: ${after.error.message}`)
        : Effect.void
    case "Registered":
      if (before._tag === "Granting") return Effect.logInfo(`registered ${endpoint.address}`)
      return before._tag === "Lost" || (before._tag === "Renewing" && before.failures > 0)
        ? Effect.logInfo("the registry confirmed the lease again")
        : Effect.void
    case "Renewing":
      return after.failures === 1 && event._tag === "RenewFailed"
        ? Effect.logWarning(`cannot renew its lease and keeps trying: ${event.error.message}`)
        : Effect.void
    case "Lost":
      return Effect.logWarning("lost its lease; tries the same one first, then a new one")
    case "Fenced":
      return Effect.logError(
        "a process that started later owns this instance id: not registered any more; give each process its own"
      )
    case "Draining":
      return Effect.logInfo("draining")
    case "Idle":
      return Effect.void
  }
}
