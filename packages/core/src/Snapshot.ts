/**
 * The endpoints of one service at one moment, immutable.
 *
 * `apply` folds deltas and returns the same reference when nothing changed, so readers compare references instead of
 * contents. A reader asks `since` what changed: in time proportional to the change when it saw the version before.
 */
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import type { Delta } from "./Change.ts"
import { type Endpoint, type InstanceId, same } from "./Endpoint.ts"

/**
 * The endpoints of one service at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** Grows by one with every change that was visible. */
  readonly version: number
  readonly endpoints: HashMap.HashMap<InstanceId, Endpoint>
  /** What changed against `version - 1`. */
  readonly changes: ReadonlyArray<Delta>
  /** The endpoints of `version - 1`. */
  readonly previous: HashMap.HashMap<InstanceId, Endpoint>
}

/**
 * No endpoint at all, version 0.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty: Snapshot = { version: 0, endpoints: HashMap.empty(), changes: [], previous: HashMap.empty() }

/**
 * A snapshot of exactly these endpoints, version 1; the last of several with one id wins.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (endpoints: Iterable<Endpoint>): Snapshot =>
  apply(
    empty,
    Array.from(endpoints, (endpoint): Delta => ({ _tag: "Put", endpoint }))
  )

/**
 * Folds deltas in order; the same reference when none of them changes anything.
 *
 * @category combinators
 * @since 0.1.0
 */
export const apply = (self: Snapshot, deltas: ReadonlyArray<Delta>): Snapshot => {
  const changes: Array<Delta> = []
  const endpoints = HashMap.mutate(self.endpoints, (draft) => {
    for (const delta of deltas) {
      if (delta._tag === "Put") {
        const known = HashMap.get(draft, delta.endpoint.id)
        if (Option.isSome(known) && same(known.value, delta.endpoint)) continue
        HashMap.set(draft, delta.endpoint.id, delta.endpoint)
      } else {
        const before = HashMap.size(draft)
        HashMap.remove(draft, delta.id)
        if (HashMap.size(draft) === before) continue
      }
      changes.push(delta)
    }
  })
  return changes.length === 0 ? self : { version: self.version + 1, endpoints, changes, previous: self.endpoints }
}

/**
 * The deltas that turn `self` into `that`: `apply(self, diff(self, that))` has the endpoints of `that`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const diff = (self: Snapshot, that: Snapshot): ReadonlyArray<Delta> => {
  if (self.endpoints === that.endpoints) return []
  const deltas: Array<Delta> = []
  for (const id of HashMap.keys(self.endpoints)) {
    if (!HashMap.has(that.endpoints, id)) deltas.push({ _tag: "Removed", id })
  }
  for (const [id, endpoint] of that.endpoints) {
    const known = HashMap.get(self.endpoints, id)
    if (Option.isNone(known) || !same(known.value, endpoint)) deltas.push({ _tag: "Put", endpoint })
  }
  return deltas
}

/**
 * The deltas that lead from an earlier snapshot to this one: its own changes if that was the version before.
 *
 * @category combinators
 * @since 0.1.0
 */
export const since = (self: Snapshot, seen: Snapshot): ReadonlyArray<Delta> =>
  self.previous === seen.endpoints ? self.changes : diff(seen, self)

/**
 * The endpoint with this id, or `undefined`.
 *
 * @category getters
 * @since 0.1.0
 */
export const get = (self: Snapshot, id: InstanceId): Endpoint | undefined =>
  Option.getOrUndefined(HashMap.get(self.endpoints, id))

/**
 * How many endpoints there are.
 *
 * @category getters
 * @since 0.1.0
 */
export const size = (self: Snapshot): number => HashMap.size(self.endpoints)

/**
 * All endpoints, in no particular order.
 *
 * @category getters
 * @since 0.1.0
 */
export const endpoints = (self: Snapshot): ReadonlyArray<Endpoint> => Array.from(HashMap.values(self.endpoints))
