/**
 * Who takes the requests that a cold or an unwell instance is spared.
 */
import * as Candidates from "../Candidates.ts"
import * as Load from "../Load.ts"
import * as Recent from "../Recent.ts"

/** What it costs to choose one rather than the other, and the other way round, into `costs`: see `Load.compare`. */
export type Compare = (load: Load.Load, one: number, other: number, now: number, costs: Recent.Costs) => void

/** The same where there is nothing else to know of either; says whether that is so. */
export type ComparePlain = (...parameters: Parameters<Compare>) => boolean

/** Busy and broken, whatever the latency. */
export const pressures: ComparePlain = (load, one, other, now, costs) => {
  costs.costOfOne = Load.pressure(load, one, now)
  costs.costOfOther = Load.pressure(load, other, now)
  return Load.isPlain(load, one) && Load.isPlain(load, other)
}

const costs = Recent.costs()

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
    compare(load, another, substitute, now, costs)
    if (costs.costOfOne < costs.costOfOther) substitute = another
  }
  if (isWell) return whileCold(compare, choice, substitute, load, now, random)
  compare(load, substitute, choice, now, costs)
  return costs.costOfOne < costs.costOfOther ? substitute : choice
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
  compare(load, choice, substitute, now, costs)
  return costs.costOfOther * warmth > costs.costOfOne ? choice : substitute
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
