/**
 * The hash ring over the instances of a `Load`: each has points in proportion to its weight, derived from nothing but
 * its seed, so that all clients agree and a change moves no more keys than it must.
 *
 * A ring is a function of who is there, remembered for each `Load` and brought up to date where that has changed, in one
 * pass over the points. A point is one number: 32 bits of hash, then the slot.
 */
import * as Load from "../Load.ts"
import { mix } from "./hash.ts"

export interface Ring {
  version: number
  /** Sorted. */
  points: Float64Array
  /** By slot: which seed its points are made of, and how many there are. */
  readonly seeds: Array<number>
  readonly counts: Array<number>
}

/** Points of an instance of average weight: shares vary by about 1/√100. */
const average = 100

const slotLimit = 2 ** 21

const rings = new WeakMap<Load.Load, Ring>()

/** The ring over those who are there now. */
export const of = (load: Load.Load): Ring => {
  const known = rings.get(load)
  const ring = known ?? { version: -1, points: new Float64Array(), seeds: [], counts: [] }
  if (known === undefined) rings.set(load, ring)
  if (ring.version !== load.version) follow(ring, load)
  return ring
}

/** The first point at or after a hash. */
export const search = ({ points }: Ring, hash: number): number => {
  let low = 0
  let high = points.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (points[middle] < hash * slotLimit) low = middle + 1
    else high = middle
  }
  return low === points.length ? 0 : low
}

/** The instance that a point belongs to. */
export const slotAt = ({ points }: Ring, index: number): number => points[index] % slotLimit

const follow = (ring: Ring, load: Load.Load): void => {
  const unit = unitOf(load)
  const stale = new Set<number>()
  const added: Array<number> = []
  for (let slot = 0; slot < load.slots; slot++) {
    const weight = Load.weightOf(load, slot)
    const count = weight < 0 ? 0 : Math.max(1, Math.round((average * weight) / unit))
    const seed = load.seeds[slot]
    if (ring.counts[slot] === count && ring.seeds[slot] === seed) continue
    if ((ring.counts[slot] ?? 0) > 0) stale.add(slot)
    for (let point = 0; point < count; point++) added.push(mix(seed, point) * slotLimit + slot)
    ring.counts[slot] = count
    ring.seeds[slot] = seed
  }
  const kept = stale.size === 0 ? ring.points : ring.points.filter((point) => !stale.has(point % slotLimit))
  ring.points = merge(kept, Float64Array.from(added).toSorted())
  ring.version = load.version
}

/** The mean weight to the nearest power of two: it hardly ever changes, and then for everybody alike. */
const unitOf = (load: Load.Load): number => {
  let members = 0
  let total = 0
  for (let slot = 0; slot < load.slots; slot++) {
    const weight = Load.weightOf(load, slot)
    if (weight <= 0) continue
    members++
    total += weight
  }
  return members === 0 ? 1 : 2 ** Math.round(Math.log2(total / members))
}

const merge = (a: Float64Array, b: Float64Array): Float64Array => {
  if (a.length === 0) return b
  const merged = new Float64Array(a.length + b.length)
  for (let i = 0, j = 0; i + j < merged.length;) {
    if (j === b.length || (i < a.length && a[i] <= b[j])) merged[i + j] = a[i++]
    else merged[i + j] = b[j++]
  }
  return merged
}
