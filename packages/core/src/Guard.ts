/**
 * The mass-removal rule: when too much vanishes at once, the registry is doubted before the instances are.
 *
 * Of the instances that were not draining, those that vanished within `window` are *held* once they are at least
 * `minimum` and at least the share `fraction` of all, or once nothing would be left. After an outage each of them is,
 * for as long: nobody could renew, so what runs out then says nothing of the instance. A held instance stays pickable
 * and leaves when its own connection is refused, when a full read `confirmAfter` its departure (and `window` after an
 * outage) still lacks it, when its address turns up under another id, or after `maxHold`. A hold that ends because the
 * instance is back is no removal at all. Draining ones always leave at once.
 *
 * Pure, and cheap while nothing is wrong: a delta costs a few map operations, whatever the number of endpoints.
 */
import * as Duration from "effect/Duration"
import * as HashMap from "effect/HashMap"
import type { Delta } from "./Change.ts"
import type { Endpoint, InstanceId } from "./Endpoint.ts"
import * as Snapshot from "./Snapshot.ts"

/**
 * The thresholds of the rule.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How long departures count as one event. */
  readonly window: Duration.Duration
  /** The share of the non-draining instances from which on the departed are held: 0 to 1. */
  readonly fraction: number
  /** The number of departures below which only an emptied set is guarded. */
  readonly minimum: number
  /** How long after its departure a full read that lacks the instance is believed. */
  readonly confirmAfter: Duration.Duration
  /** The longest hold. */
  readonly maxHold: Duration.Duration
}

/**
 * An instance that left, and when: milliseconds on the same clock as every event.
 *
 * @category models
 * @since 0.1.0
 */
export interface Departed {
  readonly endpoint: Endpoint
  readonly at: number
}

/**
 * A snapshot of what is pickable, and what the rule knows about it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Guarded {
  /** Everything pickable: what the registry lists and what is held. */
  readonly snapshot: Snapshot.Snapshot
  /** Pickable although the registry does not list them (any more). */
  readonly held: HashMap.HashMap<InstanceId, Departed>
  /** Left within the window and not held; pruned when they are counted. */
  readonly recent: HashMap.HashMap<InstanceId, Departed>
  /** How many of the listed ones are draining. */
  readonly draining: number
  /** When an outage ended, `Infinity` while it lasts: what vanishes within `window` of it is held, however little. */
  readonly doubtedSince: number
}

/**
 * Nothing listed, nothing held.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty: Guarded = {
  snapshot: Snapshot.empty,
  held: HashMap.empty(),
  recent: HashMap.empty(),
  draining: 0,
  doubtedSince: -Infinity
}

/**
 * Takes these endpoints as they are: the first inventory, or one that replaces a remembered guess. A doubt remains, and
 * so do instances in `unreadable`, which exist but could not be read.
 *
 * @category combinators
 * @since 0.1.0
 */
export const replace = (
  self: Guarded,
  endpoints: ReadonlyArray<Endpoint>,
  unreadable: ReadonlySet<InstanceId> = new Set()
): Guarded => {
  const listed = Snapshot.make(inventory(self, endpoints, unreadable).values())
  const snapshot = Snapshot.apply(self.snapshot, Snapshot.diff(self.snapshot, listed))
  if (snapshot === self.snapshot && HashMap.isEmpty(self.held) && HashMap.isEmpty(self.recent)) return self
  const draining = Snapshot.endpoints(snapshot).reduce((count, endpoint) => count + Number(endpoint.draining), 0)
  return { ...empty, snapshot, draining, doubtedSince: self.doubtedSince }
}

/**
 * Folds one revision of the registry.
 *
 * @category combinators
 * @since 0.1.0
 */
export const apply = <S extends Guarded>(self: S, deltas: ReadonlyArray<Delta>, at: number, options: Options): S => {
  let { held, recent, draining } = self
  const visible = new Map<InstanceId, Delta>()
  for (const [id, delta] of lastOfEach(deltas)) {
    const known = Snapshot.get(self.snapshot, id)
    const listed = known !== undefined && !HashMap.has(held, id)
    if (listed && known.draining) draining--
    if (delta._tag === "Put") {
      if (delta.endpoint.draining) draining++
      held = HashMap.remove(held, id)
      recent = HashMap.remove(recent, id)
      visible.set(id, delta)
    } else if (listed) {
      if (!known.draining) recent = HashMap.set(recent, id, { endpoint: known, at })
      visible.set(id, delta)
    }
  }
  const settled = relieve({ ...self, held, recent, draining }, visible)
  const tripped = trip(settled, visible, at, options)
  const snapshot = Snapshot.apply(self.snapshot, [...visible.values()])
  return snapshot === self.snapshot && tripped.held === self.held && tripped.recent === self.recent
    ? self
    : { ...tripped, snapshot }
}

/**
 * Folds a full read. Instances in `unreadable` exist but could not be read: they stay as they were, and are not held.
 *
 * @category combinators
 * @since 0.1.0
 */
export const reset = <S extends Guarded>(
  self: S,
  endpoints: ReadonlyArray<Endpoint>,
  unreadable: ReadonlySet<InstanceId>,
  at: number,
  options: Options
): S => {
  const listed = inventory(self, endpoints, unreadable)
  const confirmed = release(
    self,
    (departed) => !listed.has(departed.endpoint.id) && believedFrom(self, departed.at, options) <= at
  )
  const deltas: Array<Delta> = []
  for (const id of HashMap.keys(confirmed.snapshot.endpoints)) {
    if (!listed.has(id)) deltas.push({ _tag: "Removed", id })
  }
  for (const endpoint of listed.values()) deltas.push({ _tag: "Put", endpoint })
  return apply(confirmed, deltas, at, options)
}

/**
 * The registry was away until then: for the next `window`, none of its removals is believed at once.
 *
 * @category combinators
 * @since 0.1.0
 */
export const doubt = <S extends Guarded>(self: S, since: number): S => ({ ...self, doubtedSince: since })

/**
 * The instance refused a connection: if it is held, it leaves.
 *
 * @category combinators
 * @since 0.1.0
 */
export const refused = <S extends Guarded>(self: S, id: InstanceId): S =>
  HashMap.has(self.held, id) ? release(self, ({ endpoint }) => endpoint.id === id) : self

/**
 * Ends the holds that lasted `maxHold`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const expire = <S extends Guarded>(self: S, at: number, options: Options): S => {
  const maxHold = Duration.toMillis(options.maxHold)
  return release(self, (departed) => departed.at + maxHold <= at)
}

/**
 * When the first hold ends by itself, or `undefined` when nothing is held.
 *
 * @category getters
 * @since 0.1.0
 */
export const nextExpiry = (self: Guarded, options: Options): number | undefined => {
  const first = firstHold(self)
  return first === undefined ? undefined : first + Duration.toMillis(options.maxHold)
}

/**
 * From when on a full read may end the first hold, or `undefined` when nothing is held.
 *
 * @category getters
 * @since 0.1.0
 */
export const nextBelief = (self: Guarded, options: Options): number | undefined => {
  const first = firstHold(self)
  return first === undefined ? undefined : believedFrom(self, first, options)
}

const firstHold = ({ held }: Guarded): number | undefined => {
  let first: number | undefined
  for (const { at } of HashMap.values(held)) first = first === undefined ? at : Math.min(first, at)
  return first
}

/** Who left at `at` has had the time to come back by then: his lease and a renewal, and a while after an outage. */
const believedFrom = (self: Guarded, at: number, { confirmAfter, window }: Options): number =>
  Math.max(at + Duration.toMillis(confirmAfter), self.doubtedSince + Duration.toMillis(window))

/** What the registry lists, and the last good endpoints of those that it lists unreadably. */
const inventory = (
  self: Guarded,
  endpoints: ReadonlyArray<Endpoint>,
  unreadable: ReadonlySet<InstanceId>
): ReadonlyMap<InstanceId, Endpoint> => {
  const listed = new Map<InstanceId, Endpoint>()
  for (const id of unreadable) {
    const known = Snapshot.get(self.snapshot, id)
    if (known !== undefined) listed.set(id, known)
  }
  for (const endpoint of endpoints) listed.set(endpoint.id, endpoint)
  return listed
}

/** Held instances that match leave the snapshot. */
const release = <S extends Guarded>(self: S, leaves: (departed: Departed) => boolean): S => {
  const gone = matching(self.held, leaves)
  if (gone.length === 0) return self
  const snapshot = Snapshot.apply(
    self.snapshot,
    gone.map((id): Delta => ({ _tag: "Removed", id }))
  )
  return { ...self, snapshot, held: HashMap.removeMany(self.held, gone) }
}

/** An address that is put under another id was restarted, not lost: what departed from it is neither held nor counted. */
const relieve = <S extends Guarded>(self: S, visible: Map<InstanceId, Delta>): S => {
  if (HashMap.isEmpty(self.held) && HashMap.isEmpty(self.recent)) return self
  const taken = new Set<string>()
  for (const delta of visible.values()) if (delta._tag === "Put") taken.add(delta.endpoint.address)
  if (taken.size === 0) return self
  const restarted = ({ endpoint }: Departed) => taken.has(endpoint.address)
  for (const id of matching(self.held, restarted)) visible.set(id, { _tag: "Removed", id })
  return { ...self, held: without(self.held, restarted), recent: without(self.recent, restarted) }
}

/**
 * Holds the recently departed if they are too many, and after an outage whoever departed since then; `visible` then keeps
 * or brings back what it would have removed.
 */
const trip = <S extends Guarded>(self: S, visible: Map<InstanceId, Delta>, at: number, options: Options): S => {
  if (HashMap.isEmpty(self.recent)) return self
  const listed = countListed(self, visible)
  const remaining = listed - self.draining
  const tooMany = (departed: number) =>
    listed === 0 || (departed >= options.minimum && departed >= options.fraction * (remaining + departed))
  const window = Duration.toMillis(options.window)
  const doubted = at < self.doubtedSince + window
  if (!doubted && !tooMany(HashMap.size(self.recent) + HashMap.size(self.held))) return prune(self, at, options)
  const outdated = ({ at: left }: Departed) => left <= at - window
  const elsewhere = HashMap.isEmpty(self.held) ? addressesAfter(self, visible) : nowhere
  const recent = without(self.recent, (departed) => outdated(departed) || elsewhere.has(departed.endpoint.address))
  const counted = HashMap.size(recent) + HashMap.size(self.held) - matching(self.held, outdated).length
  if (HashMap.isEmpty(recent) || !(doubted || tooMany(counted))) return { ...self, recent }
  const suspects = tooMany(counted) ? recent : without(recent, ({ at: left }) => left < self.doubtedSince)
  for (const [id, { endpoint }] of suspects) visible.set(id, { _tag: "Put", endpoint })
  return {
    ...self,
    held: HashMap.union(self.held, suspects),
    recent: HashMap.removeMany(recent, HashMap.keys(suspects))
  }
}

/** How many the registry lists once `visible` is applied. */
const countListed = (self: Guarded, visible: ReadonlyMap<InstanceId, Delta>): number => {
  let count = Snapshot.size(self.snapshot)
  for (const [id, delta] of visible) {
    const known = HashMap.has(self.snapshot.endpoints, id)
    if (delta._tag === "Put" && !known) count++
    if (delta._tag === "Removed" && known) count--
  }
  return count - HashMap.size(self.held)
}

/** The addresses that the registry lists once `visible` is applied. */
const addressesAfter = (self: Guarded, visible: ReadonlyMap<InstanceId, Delta>): ReadonlySet<string> => {
  const addresses = new Set<string>()
  for (const [id, endpoint] of self.snapshot.endpoints) {
    if (!visible.has(id) && !HashMap.has(self.held, id)) addresses.add(endpoint.address)
  }
  for (const delta of visible.values()) if (delta._tag === "Put") addresses.add(delta.endpoint.address)
  return addresses
}

/** Forgets what left the window; only now and then, so that steady churn does not scan it with every delta. */
const prune = <S extends Guarded>(self: S, at: number, options: Options): S =>
  HashMap.size(self.recent) % 64 === 0
    ? { ...self, recent: without(self.recent, (left) => left.at <= at - Duration.toMillis(options.window)) }
    : self

const nowhere: ReadonlySet<string> = new Set()

const matching = (
  self: HashMap.HashMap<InstanceId, Departed>,
  predicate: (departed: Departed) => boolean
): ReadonlyArray<InstanceId> => {
  const ids: Array<InstanceId> = []
  for (const [id, departed] of self) if (predicate(departed)) ids.push(id)
  return ids
}

/** The same reference when nothing matches. */
const without = (
  self: HashMap.HashMap<InstanceId, Departed>,
  predicate: (departed: Departed) => boolean
): HashMap.HashMap<InstanceId, Departed> => HashMap.removeMany(self, matching(self, predicate))

const lastOfEach = (deltas: ReadonlyArray<Delta>): ReadonlyMap<InstanceId, Delta> => {
  const last = new Map<InstanceId, Delta>()
  for (const delta of deltas) last.set(delta._tag === "Put" ? delta.endpoint.id : delta.id, delta)
  return last
}
