/**
 * What happened to a service, as a person would tell it: who joined and left, what the registry did, who was ejected.
 *
 * Derived from two states that followed each other, or from one change of health; everything else is not worth a line.
 */
import { DiscoveryState, type Endpoint, Health, type Roster, Snapshot } from "@muster/core"
import { Data, HashMap } from "effect"
import { count, type Paint, percent, time } from "./Screen.ts"

type HealthChanged = Extract<Roster.Event, { readonly _tag: "HealthChanged" }>

type Endpoints = ReadonlyArray<Endpoint.Endpoint>

export type Happening = Data.TaggedEnum<{
  Joined: { readonly endpoint: Endpoint.Endpoint }
  Left: { readonly endpoint: Endpoint.Endpoint; readonly draining: boolean }
  Draining: { readonly endpoint: Endpoint.Endpoint }
  /** Vanished with too many others, or too soon after an outage, to be believed. */
  Held: { readonly endpoints: Endpoints }
  /** Held no longer, because the registry lists them again. */
  Returned: { readonly endpoints: Endpoints }
  Frozen: { readonly why: string; readonly serving: number }
  /** Started without the registry, from what an earlier run saw. */
  Remembered: { readonly endpoints: Endpoints; readonly ageMs: number; readonly why: string }
  Resumed: { readonly afterMs: number }
  GaveUp: { readonly why: string }
  Ejected: { readonly id: string; readonly why: string; readonly forMs: number }
  Restored: { readonly id: string }
}>

const make = Data.taggedEnum<Happening>()

/** Whether the registry was lost; that nobody asks any more is no loss. */
export const isLoss = (before: DiscoveryState.DiscoveryState, after: DiscoveryState.DiscoveryState): boolean =>
  before._tag === "Live" && after._tag === "Frozen" && after.cause?._tag !== "Idle"

/** Whether an earlier run's snapshot was found, as nothing else freezes who knows nothing. */
export const isRemembered = (before: DiscoveryState.DiscoveryState, after: DiscoveryState.DiscoveryState): boolean =>
  before._tag === "Loading" && after._tag === "Frozen"

/** Now: milliseconds on the clock of the states, which began with the client, and Unix time. */
interface Moment {
  readonly at: number
  readonly wall: number
}

/** What happened to the service between two states. */
export const between = (
  before: DiscoveryState.DiscoveryState,
  after: DiscoveryState.DiscoveryState,
  now: Moment
): ReadonlyArray<Happening> => [
  ...connection(before, after, now),
  ...(isRemembered(before, after) ? [] : population(before, after))
]

/** How old what an earlier run saw is, in milliseconds, as long as that is what is served. */
export const rememberedAge = (state: DiscoveryState.DiscoveryState, wall: number): number | undefined =>
  DiscoveryState.isKnown(state) && state._tag !== "Live" && state.asOf._tag === "Saved"
    ? Math.max(0, wall - state.asOf.savedAt)
    : undefined

const connection = (
  before: DiscoveryState.DiscoveryState,
  after: DiscoveryState.DiscoveryState,
  { at, wall }: Moment
): ReadonlyArray<Happening> => {
  if (before._tag === after._tag) return []
  switch (after._tag) {
    case "Failed":
      return [make.GaveUp({ why: because(after.cause) })]
    case "Frozen": {
      const why = because(after.cause)
      if (isLoss(before, after)) return [make.Frozen({ why, serving: Snapshot.size(after.snapshot) })]
      const ageMs = rememberedAge(after, wall)
      return isRemembered(before, after) && ageMs !== undefined
        ? [make.Remembered({ endpoints: Snapshot.endpoints(after.snapshot), ageMs, why })]
        : []
    }
    case "Live":
      return DiscoveryState.isKnown(before) && before._tag !== "Live"
        ? [make.Resumed({ afterMs: before.asOf._tag === "Observed" ? at - before.asOf.at : at })]
        : []
    default:
      return []
  }
}

const population = (
  before: DiscoveryState.DiscoveryState,
  after: DiscoveryState.DiscoveryState
): ReadonlyArray<Happening> => {
  if (!DiscoveryState.isKnown(after)) return []
  const known = DiscoveryState.isKnown(before)
  const old = known ? before.snapshot : Snapshot.empty
  const wasHeld = known ? before.held : HashMap.empty()
  const happenings: Array<Happening> = []
  for (const delta of old === after.snapshot ? [] : Snapshot.diff(old, after.snapshot)) {
    const id = delta._tag === "Put" ? delta.endpoint.id : delta.id
    const previous = Snapshot.get(old, id)
    if (delta._tag === "Removed") {
      if (previous !== undefined) happenings.push(make.Left({ endpoint: previous, draining: previous.draining }))
    } else if (previous === undefined) {
      happenings.push(make.Joined({ endpoint: delta.endpoint }))
    } else if (delta.endpoint.draining && !previous.draining) {
      happenings.push(make.Draining({ endpoint: delta.endpoint }))
    }
  }
  const held = [...after.held].flatMap(([id, { endpoint }]) => (HashMap.has(wasHeld, id) ? [] : [endpoint]))
  if (held.length > 0) happenings.push(make.Held({ endpoints: held }))
  const returned = [...HashMap.keys(wasHeld)].flatMap((id) => {
    const endpoint = HashMap.has(after.held, id) ? undefined : Snapshot.get(after.snapshot, id)
    return endpoint === undefined ? [] : [endpoint]
  })
  if (returned.length > 0) happenings.push(make.Returned({ endpoints: returned }))
  return happenings
}

/** What a change of health is worth telling: taken out, and back; not every question in between. */
export const ofHealth = ({ endpoint, event, before, health, at }: HealthChanged): ReadonlyArray<Happening> => {
  if (Health.isInUse(before) && health._tag === "Ejected" && event._tag === "Failed") {
    return [make.Ejected({ id: endpoint.id, why: unfit(event.evidence), forMs: health.until - at })]
  }
  return before._tag === "Probing" && Health.isInUse(health) ? [make.Restored({ id: endpoint.id })] : []
}

const unfit = ({ refused, streak, successRate }: Health.Evidence): string => {
  if (refused) return "connection refused"
  return streak > 1 ? `${streak} failures in a row` : `only ${percent(successRate)} of its answers were good`
}

/** Why the registry is not followed, in a few words. */
export const because = (cause: DiscoveryState.Cause | undefined): string => {
  switch (cause?._tag) {
    case "Failed":
      return cause.error.reason.message
    case "Died":
      return "discovery died and is started again"
    case "Ended":
      return "the registry closed the watch"
    case "Idle":
      return "nobody was subscribed"
    default:
      return "the registry never answered"
  }
}

/** One line for a person, coloured by how bad it is. */
export const sentence = (happening: Happening, paint: Paint): string =>
  make.$match(happening, {
    Joined: ({ endpoint: { address, id } }) =>
      `${paint.good("●")} ${paint.strong(id)} joined${id === address ? "" : ` at ${address}`}`,
    Left: ({ endpoint, draining }) =>
      draining
        ? `${paint.faint("○")} ${paint.strong(endpoint.id)} left`
        : `${paint.warn("○")} ${paint.strong(endpoint.id)} is gone from the registry`,
    Draining: ({ endpoint }) => `${paint.faint("◐")} ${paint.strong(endpoint.id)} is draining: no new requests`,
    Held: ({ endpoints }) =>
      `${paint.warn("◍")} ${names(endpoints)} vanished${endpoints.length > 1 ? " at once" : ""}: not believed, and served on`,
    Returned: ({ endpoints }) =>
      `${paint.good("●")} ${names(endpoints)} ${endpoints.length === 1 ? "is" : "are"} listed again`,
    Frozen: ({ why, serving }) => `${paint.accent("❄")} frozen with ${count(serving, "instance")}, because ${why}`,
    Remembered: ({ endpoints, ageMs, why }) =>
      `${paint.accent("❄")} starts with ${names(endpoints)}, remembered from ${time(ageMs)} ago, because ${why}`,
    Resumed: ({ afterMs }) => `${paint.good("▸")} follows the registry again, after ${time(afterMs)}`,
    GaveUp: ({ why }) => `${paint.bad("✗")} gave up on the registry: ${why}`,
    Ejected: ({ id, why, forMs }) =>
      `${paint.warn("⊘")} ${paint.strong(id)} is ejected (${why}) and asked again in ${time(forMs)}`,
    Restored: ({ id }) => `${paint.good("⊙")} ${paint.strong(id)} came back and warms up`
  })

const names = (endpoints: Endpoints) => endpoints.map(({ id }) => id).join(", ")
