import * as Candidates from "../Candidates.ts"
import { hashOf, mix, unit } from "../internal/hash.ts"
import * as Ring from "../internal/ring.ts"
import { isUnwell } from "../internal/standIn.ts"
import * as Load from "../Load.ts"
import type { Policy } from "../Pick.ts"

/**
 * The same instance for the same key, as long as it is well and not too busy; else the next one on the ring.
 *
 * Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2018): nobody has more than 1.25 times its
 * share, by weight, of the requests in flight. All clients agree, because the ring is made of instance ids. The ring has
 * everybody; who is ejected, draining, in another zone, or was tried before is passed over, so that only the requests of
 * that instance move, and come back with it. A cold one is given key after key while it warms up. A request without a
 * key goes anywhere.
 *
 * @category policies
 * @since 0.1.0
 */
export const ringHash: Policy = (candidates, load, now, random, key) => {
  const hash = key === undefined ? Math.floor(random() * 2 ** 32) : hashOf(key)
  const ring = Ring.of(load)
  const end = Math.min(ring.points.length, maxSteps)
  let full = -1
  let spared = -1
  for (let step = 0, index = Ring.search(ring, hash); step < end; step++, index++) {
    if (index === ring.points.length) index = 0
    const slot = Ring.slotAt(ring, index)
    if (!Candidates.has(candidates, slot)) continue
    if (isSpared(load, slot, hash, now)) spared = spared < 0 ? slot : spared
    else if (isFull(candidates, load, slot)) full = full < 0 ? slot : full
    else return slot
  }
  return full >= 0 ? full : spared >= 0 ? spared : Candidates.at(candidates, hash % candidates.size)
}

const isFull = (candidates: Candidates.Candidates, load: Load.Load, slot: number): boolean =>
  Load.requestsInFlight(load, slot) >=
  Math.ceil((bound * (load.inFlight + 1) * candidates.weights[slot]) / candidates.total)

const isSpared = (load: Load.Load, slot: number, hash: number, now: number): boolean =>
  isUnwell(load, slot, now) || unit(mix(hash, load.seeds[slot])) >= Load.warmth(load, slot, now)

/** Of a fair share. Vimeo and HAProxy use 1.25 as well: tighter moves more keys, wider leaves more load on one. */
const bound = 1.25

/** So many points are looked at: enough to find one of ten candidates among a hundred instances. */
const maxSteps = 1024
