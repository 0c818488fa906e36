import * as Candidates from "../Candidates.ts"
import * as Load from "../Load.ts"
import type { Policy } from "../Pick.ts"
import { pressure, standIn } from "../internal/standIn.ts"

/**
 * Each in turn, whatever its weight, latency and load.
 *
 * @category policies
 * @since 0.1.0
 */
export const roundRobin: Policy = (candidates, load, now, random) => {
  const first = next(candidates)
  if (candidates.size === 1 || Load.warmth(load, first, now) === 1) return first
  return standIn(pressure, first, next(candidates), candidates, load, now, random)
}

const next = (candidates: Candidates.Candidates): number => {
  candidates.turn = (candidates.turn + 1) % candidates.size
  return Candidates.at(candidates, candidates.turn)
}
