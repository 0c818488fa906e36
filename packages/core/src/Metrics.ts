/**
 * Every metric, as a value: declared here, updated in one line where the thing happens.
 *
 * All carry the attribute `service`, those of one instance also `instance`.
 */
import * as Metric from "effect/Metric"

/**
 * How many endpoints of a service are pickable, held ones included; 0 from when somebody asks for it.
 *
 * @category discovery
 * @since 0.1.0
 */
export const endpoints = Metric.gauge("muster_endpoints", { description: "Pickable endpoints" })

/**
 * How many endpoints are pickable only because the mass-removal guard holds them.
 *
 * @category discovery
 * @since 0.1.0
 */
export const heldEndpoints = Metric.gauge("muster_held_endpoints", { description: "Endpoints held by the guard" })

/**
 * 1 while a service is served from a frozen snapshot, else 0.
 *
 * @category discovery
 * @since 0.1.0
 */
export const frozen = Metric.gauge("muster_frozen", { description: "Whether the snapshot is frozen" })

/**
 * 1 while a service is served from a snapshot that an earlier run remembered, else 0.
 *
 * @category discovery
 * @since 0.1.0
 */
export const remembered = Metric.gauge("muster_remembered", {
  description: "Whether the snapshot is one that an earlier run remembered"
})

/**
 * How old the snapshot is, in seconds: 0 while the registry is followed, and nothing where there is no snapshot.
 *
 * @category discovery
 * @since 0.1.0
 */
export const age = Metric.gauge("muster_snapshot_age_seconds", { description: "Age of the snapshot" })

/**
 * Registry entries that could not be read.
 *
 * @category discovery
 * @since 0.1.0
 */
export const skippedEntries = Metric.counter("muster_skipped_entries", {
  description: "Registry entries that could not be read",
  incremental: true
})

/**
 * Actors that died of a defect and were started again; the attribute `actor` names which.
 *
 * @category supervision
 * @since 0.1.0
 */
export const restarts = Metric.counter("muster_actor_restarts", {
  description: "Actors that died of a defect and were started again",
  incremental: true
})

/**
 * 1 while an instance believes itself registered, else 0.
 *
 * @category registration
 * @since 0.1.0
 */
export const registered = Metric.gauge("muster_registered", { description: "Whether the instance is registered" })

/**
 * Everything that happened to the registration of an instance; the attribute `event` names what.
 *
 * @category registration
 * @since 0.1.0
 */
export const registrationEvents = Metric.counter("muster_registration_events", {
  description: "Events of the registration",
  incremental: true
})

/**
 * Requests by the way they turned out: `succeeded`, `failed`, `refused`, `pushed-back` or `interrupted`, in the
 * attribute `outcome`. Every attempt counts once, when its answer is over: one whose answer broke off has `failed`.
 *
 * @category balancing
 * @since 0.1.0
 */
export const requests = Metric.counter("muster_requests", {
  description: "Attempts by outcome, once the answer is over; one that broke off has failed",
  incremental: true
})

/**
 * Attempts after the first of a request.
 *
 * @category balancing
 * @since 0.1.0
 */
export const retries = Metric.counter("muster_retries", { description: "Retries", incremental: true })

/**
 * Attempts that were made beside one that took its time.
 *
 * @category balancing
 * @since 0.1.0
 */
export const hedges = Metric.counter("muster_hedges", { description: "Hedges", incremental: true })

/**
 * Hedges that were answered well before the attempt beside them was.
 *
 * @category balancing
 * @since 0.1.0
 */
export const hedgesWon = Metric.counter("muster_hedges_won", { description: "Hedges that won", incremental: true })

/**
 * Retries and hedges that were not made because the retry budget was spent.
 *
 * @category balancing
 * @since 0.1.0
 */
export const retriesRefused = Metric.counter("muster_retries_refused", {
  description: "Retries and hedges that the budget did not allow",
  incremental: true
})

/**
 * Times that an instance was taken out for failing.
 *
 * @category balancing
 * @since 0.1.0
 */
export const ejections = Metric.counter("muster_ejections", { description: "Ejections", incremental: true })

/**
 * How many endpoints are taken out for failing now.
 *
 * @category balancing
 * @since 0.1.0
 */
export const ejectedEndpoints = Metric.gauge("muster_ejected_endpoints", { description: "Ejected endpoints" })
