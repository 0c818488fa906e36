/**
 * Who takes the requests that a cold instance is spared.
 */
import * as Candidates from "../Candidates.ts"
import * as Load from "../Load.ts"

/** What it costs to choose a slot rather than its rival. */
export type Cost = (load: Load.Load, slot: number, rival: number, now: number) => number

/** Busy and broken, whatever the latency. */
export const pressure: Cost = (load, slot, _rival, now) => Load.pressure(load, slot, now)

/**
 * A choice that is warming up stands only as often as it is warm compared with its substitute, the cheapest of a few
 * others; and always when that one would be the more expensive even so.
 */
export const standIn = (
  cost: Cost,
  choice: number,
  loser: number,
  candidates: Candidates.Candidates,
  load: Load.Load,
  now: number,
  random: () => number
): number => {
  let substitute = loser
  for (let more = Math.min(substitutes, candidates.size - 2); more > 0; more--) {
    const other = Candidates.drawOther(candidates, choice, random)
    if (cost(load, other, substitute, now) < cost(load, substitute, other, now)) substitute = other
  }
  const warmth = Load.warmth(load, choice, now) / Load.warmth(load, substitute, now)
  const stands = random() < warmth || cost(load, substitute, choice, now) * warmth > cost(load, choice, substitute, now)
  return stands ? choice : substitute
}

const substitutes = 3
