/**
 * Who takes the requests that a cold or an unwell instance is spared.
 */
import * as Candidates from "../Candidates.ts"
import * as Load from "../Load.ts"

/** What it costs to choose one rather than the other, and the other way round: two cells, as `Load.compare` leaves them. */
export type Compare = (load: Load.Load, one: number, other: number, now: number) => Float64Array

/** Busy and broken, whatever the latency. */
export const pressures: Compare = (load, one, other, now) => {
  costs[0] = Load.pressure(load, one, now)
  costs[1] = Load.pressure(load, other, now)
  return costs
}

const costs = new Float64Array(2)

/** Whether an instance asked to be left alone, or most of its latest answers were failures. */
export const isUnwell = (load: Load.Load, slot: number, now: number): boolean =>
  Load.isPushedBack(load, slot, now) || Load.failureRate(load, slot, now) > 1 / 2

/**
 * A choice that is warming up stands only as often as it is warm compared with its substitute, the cheapest of a few
 * others; and always when that one would be the more expensive even so.
 */
export const standIn = (
  compare: Compare,
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
    const costs = compare(load, other, substitute, now)
    if (costs[0] < costs[1]) substitute = other
  }
  const warmth = Load.warmth(load, choice, now) / Load.warmth(load, substitute, now)
  if (random() < warmth) return choice
  const costs = compare(load, choice, substitute, now)
  return costs[1] * warmth > costs[0] ? choice : substitute
}

/**
 * A choice that was made without a look at load stands unless the instance is cold, which spares it some requests, or
 * unwell, which spares it all of them as long as a few others are not worse.
 */
export const unlessSpared = (
  choice: number,
  candidates: Candidates.Candidates,
  load: Load.Load,
  now: number,
  random: () => number
): number => {
  const isWell = !isUnwell(load, choice, now)
  if (candidates.size === 1 || (isWell && Load.warmth(load, choice, now) === 1)) return choice
  const other = Candidates.drawOther(candidates, choice, random)
  if (isWell) return standIn(pressures, choice, other, candidates, load, now, random)
  let best = other
  for (let more = Math.min(substitutes, candidates.size - 2); more > 0; more--) {
    const another = Candidates.drawOther(candidates, choice, random)
    if (Load.pressure(load, another, now) < Load.pressure(load, best, now)) best = another
  }
  return Load.pressure(load, best, now) < Load.pressure(load, choice, now) ? best : choice
}

const substitutes = 3
