/**
 * Why each instance of a service is in or out, what it costs, what that is made of, and how the last choices came about.
 *
 * It reads what a pick reads and changes nothing, so looking never changes a choice. Every endpoint of the snapshot is
 * accounted for, also those that no pick can reach. A plain value with a Schema: a page, a command line and an error can
 * show it. Times are milliseconds; what has not been measured says what is assumed.
 */
import * as Schema from "effect/Schema"
import type { Attempt } from "./Attempt.ts"
import * as Candidates from "./Candidates.ts"
import { type Endpoint, InstanceId } from "./Endpoint.ts"
import * as Load from "./Load.ts"
import * as Roster from "./Roster.ts"

/**
 * Why an instance is where it is; the first that applies.
 *
 * @category models
 * @since 0.1.0
 */
export const Standing = Schema.TaggedUnion({
  /** Another instance at the same address counts in its place. */
  Shadowed: { by: InstanceId },
  /** It is about to leave: used only when there is nothing else. */
  Draining: {},
  /** Its weight is 0: used only when there is nothing else. */
  Weightless: {},
  /** It failed once too often; after so many milliseconds one request may find out whether it is well. */
  Ejected: { attempt: Schema.Finite, forMillis: Schema.Finite },
  /** It was out, and one request is on its way to find out. */
  Probing: { attempt: Schema.Finite },
  /** It asked to be left alone for so many milliseconds more. */
  PushedBack: { forMillis: Schema.Finite },
  /** It is new or back; it has its full share in so many milliseconds. */
  Warming: { forMillis: Schema.Finite },
  /** Nothing speaks against it. */
  Well: {}
})

/**
 * Why an instance is where it is.
 *
 * @category models
 * @since 0.1.0
 */
export type Standing = typeof Standing.Type

/**
 * One instance as a pick sees it.
 *
 * @category models
 * @since 0.1.0
 */
export const Instance = Schema.Struct({
  id: InstanceId,
  address: Schema.String,
  zone: Schema.optionalKey(Schema.String),
  version: Schema.optionalKey(Schema.String),
  /** Whether the next request may go there: an ejected one is in while too few others are left, or as a last resort. */
  isIn: Schema.Boolean,
  standing: Standing,
  /** Whether the registry lists it no more and the mass-removal guard doubts that. */
  isHeld: Schema.Boolean,
  weight: Schema.Finite,
  /** The share of its full share that it gets, from 0 to 1. */
  warmth: Schema.Finite,
  /** How long an answer is expected to take, and whether that was measured. */
  latency: Schema.Finite,
  isLatencyKnown: Schema.Boolean,
  requestsInFlight: Schema.Finite,
  usuallyInFlight: Schema.Finite,
  /** The share of its latest requests that failed. */
  failureRate: Schema.Finite,
  /** How busy and how broken it is: what is compared where latencies are alike. */
  pressure: Schema.Finite,
  /** What the next answer is thought to take, raised as `pressure` is: what is compared where latencies differ. */
  cost: Schema.Finite,
  /** How often it was chosen, and what share of the choices among those who are there now that is. */
  picks: Schema.Finite,
  share: Schema.Finite
})

/**
 * One instance as a pick sees it.
 *
 * @category models
 * @since 0.1.0
 */
export type Instance = typeof Instance.Type

/**
 * One of the last choices: which instance, and what those that the policy compared would have cost then. One that left
 * is not named once another took its place; a policy that compares nothing names nobody.
 *
 * @category models
 * @since 0.1.0
 */
export const Choice = Schema.Struct({
  at: Schema.Finite,
  id: InstanceId,
  compared: Schema.Array(Schema.Struct({ id: InstanceId, cost: Schema.Finite }))
})

/**
 * One of the last choices.
 *
 * @category models
 * @since 0.1.0
 */
export type Choice = typeof Choice.Type

/**
 * How one client sees a service, and its last choices, the newest first. `at` is in milliseconds of the client's log.
 *
 * @category models
 * @since 0.1.0
 */
export const Explanation = Schema.Struct({
  at: Schema.Finite,
  /** Whether ejected instances are used as well, because too few others are left. */
  isPanic: Schema.Boolean,
  instances: Schema.Array(Instance),
  /** Those that a subset leaves to other clients. */
  leftToOthers: Schema.Array(Schema.Struct({ id: InstanceId, address: Schema.String })),
  choices: Schema.Array(Choice)
})

/**
 * How one client sees a service.
 *
 * @category models
 * @since 0.1.0
 */
export type Explanation = typeof Explanation.Type

/**
 * What a roster does not know: how often an instance was chosen, whether it is held, and who is listed beyond those that
 * the roster was given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Beside {
  readonly picks: (id: InstanceId) => number
  readonly isHeld: (id: InstanceId) => boolean
  readonly listed: Iterable<Endpoint>
}

/**
 * Everything that the next pick knows, for each instance of the snapshot.
 *
 * @category getters
 * @since 0.1.0
 */
export const of = (self: Roster.Roster, now: number, beside: Beside): Explanation => {
  const from = self.inUse.size > 0 ? self.inUse : Roster.lastResort(self)
  let total = 0
  for (const id of self.members.keys()) total += beside.picks(id)
  return {
    at: now,
    isPanic: self.panic,
    instances: Array.from(self.members.values(), (member) => {
      const picks = beside.picks(member.id)
      return {
        ...measured(self.load, member, now),
        isIn: Candidates.has(from, member.slot),
        standing: standing(self, member, now),
        isHeld: beside.isHeld(member.id),
        picks,
        share: total === 0 ? 0 : picks / total
      }
    }),
    leftToOthers: Array.from(beside.listed)
      .filter(({ id }) => !self.members.has(id))
      .map(({ address, id }) => ({ id, address })),
    choices: Roster.choices(self).map(({ at, compared, endpoint }) => ({
      at,
      id: endpoint.id,
      compared: compared.map(({ cost, endpoint }) => ({ id: endpoint.id, cost }))
    }))
  }
}

const measured = (load: Load.Load, { endpoint, slot }: Roster.Member, now: number) => ({
  id: endpoint.id,
  address: endpoint.address,
  ...(endpoint.zone === undefined ? {} : { zone: endpoint.zone }),
  ...(endpoint.version === undefined ? {} : { version: endpoint.version }),
  weight: endpoint.weight,
  warmth: Load.warmth(load, slot, now),
  latency: Load.latency(load, slot, now),
  isLatencyKnown: Load.isKnown(load, slot),
  requestsInFlight: Load.requestsInFlight(load, slot),
  usuallyInFlight: Load.usuallyInFlight(load, slot),
  failureRate: Load.failureRate(load, slot, now),
  pressure: Load.pressure(load, slot, now),
  cost: Load.costAlone(load, slot, now)
})

/**
 * Why an instance is where it is.
 *
 * @category getters
 * @since 0.1.0
 */
export const standing = (self: Roster.Roster, { endpoint, health, slot }: Roster.Member, now: number): Standing => {
  const claim = self.byAddress.get(endpoint.address)?.[0]
  if (claim !== undefined && claim.slot !== slot) return { _tag: "Shadowed", by: claim.id }
  if (endpoint.draining) return { _tag: "Draining" }
  if (endpoint.weight === 0) return { _tag: "Weightless" }
  if (health._tag === "Ejected") {
    return { _tag: "Ejected", attempt: health.attempt, forMillis: Math.max(0, health.until - now) }
  }
  if (health._tag === "Probing") return { _tag: "Probing", attempt: health.attempt }
  const pushedBack = Load.pushedBackFor(self.load, slot, now)
  if (pushedBack > 0) return { _tag: "PushedBack", forMillis: pushedBack }
  return health._tag === "Warming" && health.until > now
    ? { _tag: "Warming", forMillis: health.until - now }
    : { _tag: "Well" }
}

/**
 * An instance that a request could not be sent to, and why not: it was tried already, or how it stands.
 *
 * @category models
 * @since 0.1.0
 */
export const Excluded = Schema.Struct({
  id: InstanceId,
  address: Schema.String,
  why: Schema.Union([Standing, Schema.TaggedStruct("Tried", { outcome: Schema.String })])
})

/**
 * An instance that a request could not be sent to, and why not.
 *
 * @category models
 * @since 0.1.0
 */
export type Excluded = typeof Excluded.Type

/** So many instances are told apart in an error; nobody reads more. */
const mostExcluded = 16

/**
 * Why each instance could not be chosen for a request that was tried on some already; at most 16 of them.
 *
 * @category getters
 * @since 0.1.0
 */
export const excluded = (self: Roster.Roster, after: ReadonlyArray<Attempt>, now: number): ReadonlyArray<Excluded> => {
  const tried = new Map(after.map((attempt) => [attempt.member.id, attempt]))
  const all: Array<Excluded> = []
  for (const member of self.members.values()) {
    if (all.length === mostExcluded) break
    const attempt = tried.get(member.id)
    const why: Excluded["why"] =
      attempt === undefined
        ? standing(self, member, now)
        : { _tag: "Tried", outcome: attempt.outcome?._tag ?? "still on its way" }
    all.push({ id: member.id, address: member.endpoint.address, why })
  }
  return all
}

/**
 * What is against an instance, in words.
 *
 * @category getters
 * @since 0.1.0
 */
export const describe = (why: Excluded["why"]): string => {
  switch (why._tag) {
    case "Tried":
      return `was tried (${why.outcome.toLowerCase()})`
    case "Shadowed":
      return `is ${why.by} now`
    case "Draining":
      return "is about to leave"
    case "Weightless":
      return "has no weight"
    case "Ejected":
      return `failed too often and is out for ${seconds(why.forMillis)}`
    case "Probing":
      return "was out and is being probed"
    case "PushedBack":
      return `asked to be left alone for ${seconds(why.forMillis)}`
    case "Warming":
      return `warms up for ${seconds(why.forMillis)}`
    case "Well":
      return "is well"
  }
}

const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`
