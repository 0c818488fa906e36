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
  Resumed: { readonly afterMs: number }
  GaveUp: { readonly why: string }
  Ejected: { readonly id: string; readonly why: string; readonly forMs: number }
  Restored: { readonly id: string }
}>

const make = Data.taggedEnum<Happening>()

/** Whether the registry was lost; that nobody asks any more is no loss. */
export const isLoss = (
  before: DiscoveryState.DiscoveryState,
  after: DiscoveryState.DiscoveryState
): after is DiscoveryState.Frozen => before._tag === "Live" && after._tag === "Frozen" && after.cause?._tag !== "Idle"

/** What happened to the service between two states; `at` is in milliseconds on the clock of the states. */
export const between = (
  before: DiscoveryState.DiscoveryState,
  after: DiscoveryState.DiscoveryState,
  at: number
): ReadonlyArray<Happening> => [...connection(before, after, at), ...population(before, after)]

const connection = (
  before: DiscoveryState.DiscoveryState,
  after: DiscoveryState.DiscoveryState,
  at: number
): ReadonlyArray<Happening> => {
  if (before._tag === after._tag) return []
  if (after._tag === "Failed") return [make.GaveUp({ why: because(after.cause) })]
  if (isLoss(before, after)) {
    return [make.Frozen({ why: because(after.cause), serving: Snapshot.size(after.snapshot) })]
  }
  return after._tag === "Live" && before._tag === "Resyncing" && before.asOf._tag === "Observed"
    ? [make.Resumed({ afterMs: at - before.asOf.at })]
    : []
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
    Resumed: ({ afterMs }) => `${paint.good("▸")} follows the registry again, after ${time(afterMs)}`,
    GaveUp: ({ why }) => `${paint.bad("✗")} gave up on the registry: ${why}`,
    Ejected: ({ id, why, forMs }) =>
      `${paint.warn("⊘")} ${paint.strong(id)} is ejected (${why}) and asked again in ${time(forMs)}`,
    Restored: ({ id }) => `${paint.good("⊙")} ${paint.strong(id)} came back and warms up`
  })

const names = (endpoints: Endpoints) => endpoints.map(({ id }) => id).join(", ")
