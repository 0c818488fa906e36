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
 * A choice stands, unless the instance is cold, which spares it some requests, or unwell, which spares it all of them as
 * long as a few others are not worse. `other` is one of those.
 */
export const spare = (
  compare: Compare,
  choice: number,
  other: number,
  candidates: Candidates.Candidates,
  load: Load.Load,
  now: number,
  random: () => number
): number => {
  const isWell = !isUnwell(load, choice, now)
  if (isWell && Load.warmth(load, choice, now) === 1) return choice
  let substitute = other
  for (let more = Math.min(substitutes, candidates.size - 2); more > 0; more--) {
    const another = Candidates.drawOther(candidates, choice, random)
    const costs = compare(load, another, substitute, now)
    if (costs[0] < costs[1]) substitute = another
  }
  if (isWell) return whileCold(compare, choice, substitute, load, now, random)
  const costs = compare(load, substitute, choice, now)
  return costs[0] < costs[1] ? substitute : choice
}

const substitutes = 3

/** As often as it is warm compared with its substitute; and always when that one would be the more expensive even so. */
const whileCold = (
  compare: Compare,
  choice: number,
  substitute: number,
  load: Load.Load,
  now: number,
  random: () => number
): number => {
  const warmth = Load.warmth(load, choice, now) / Load.warmth(load, substitute, now)
  if (random() < warmth) return choice
  const costs = compare(load, choice, substitute, now)
  return costs[1] * warmth > costs[0] ? choice : substitute
}

/** The same for a choice that was made without a look at load. */
export const unlessSpared = (
  choice: number,
  candidates: Candidates.Candidates,
  load: Load.Load,
  now: number,
  random: () => number
): number => {
  if (candidates.size === 1 || Load.isPlain(load, choice)) return choice
  const other = Candidates.drawOther(candidates, choice, random)
  return spare(pressures, choice, other, candidates, load, now, random)
}
