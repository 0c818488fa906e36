/**
 * How one of the candidates is chosen: pure functions of the candidates, what was measured, and random numbers.
 *
 * A policy takes constant time, allocates nothing, and reads health from the candidates: what is ejected is not among
 * them. Weight acts on the probability of being sampled. Warm-up acts on the probability that the choice stands, so that
 * a cold instance is not flooded even where there are only two to sample from.
 */
import * as Candidates from "./Candidates.ts"
import * as Load from "./Load.ts"
import * as Recent from "./Recent.ts"

/**
 * Chooses a slot; there is at least one candidate.
 *
 * @category models
 * @since 0.1.0
 */
export type Policy = (candidates: Candidates.Candidates, load: Load.Load, now: number, random: () => number) => number

/**
 * The cheaper of two by latency and requests in flight: the default.
 *
 * "The power of two choices" (Mitzenmacher, 2001) over peak EWMA × (in flight + 1). Costs within the noise of the
 * measurement tie, and a tie goes to the one that was sampled first, which keeps the shares that the weights ask for.
 *
 * @category policies
 * @since 0.1.0
 */
export const p2c: Policy = (candidates, load, now, random) =>
  twoChoices(Load.cost, 1 + load.options.noise, candidates, load, now, random)

/**
 * The less busy of two, whatever their latency.
 *
 * @category policies
 * @since 0.1.0
 */
export const leastLoaded: Policy = (candidates, load, now, random) =>
  twoChoices(pressure, 1, candidates, load, now, random)

/**
 * Each in turn, whatever its weight, latency and load.
 *
 * @category policies
 * @since 0.1.0
 */
export const roundRobin: Policy = (candidates, load, now, random) => {
  const first = next(candidates)
  if (candidates.size === 1 || Load.warmth(load, first, now) === 1) return first
  return spare(pressure, first, next(candidates), candidates, load, now, random)
}

type Cost = (load: Load.Load, slot: number, rival: number, now: number) => number

const pressure: Cost = (load, slot, _rival, now) => Load.pressure(load, slot, now)

const twoChoices = (
  cost: Cost,
  tolerance: number,
  candidates: Candidates.Candidates,
  load: Load.Load,
  now: number,
  random: () => number
): number => {
  const first = Candidates.draw(candidates, random)
  if (candidates.size === 1) return first
  const isEven = Candidates.isEven(candidates)
  let second = isEven ? first : Candidates.draw(candidates, random)
  let threshold = tolerance
  if (second === first) {
    if (!isEven) threshold *= clearly
    second = Candidates.drawOther(candidates, first, random)
  }
  const costOfFirst = cost(load, first, second, now)
  const costOfSecond = cost(load, second, first, now)
  Recent.compared(load.recent, first, costOfFirst, second, costOfSecond)
  const isCheaper = costOfSecond * threshold < costOfFirst
  const winner = isCheaper ? second : first
  if (Load.warmth(load, winner, now) === 1) return winner
  return spare(cost, winner, isCheaper ? first : second, candidates, load, now, random)
}

/**
 * With uneven weights both samples are drawn alike, or the heavy ones would lose more comparisons than they win. One
 * that is drawn twice stays the choice unless it costs so many times as much as another.
 */
const clearly = 4

/**
 * A choice that is warming up stands only as often as it is warm compared with its substitute, the cheapest of a few
 * others; and always when that one would be the more expensive even so.
 */
const spare = (
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

const next = (candidates: Candidates.Candidates): number => {
  candidates.turn = (candidates.turn + 1) % candidates.size
  return Candidates.at(candidates, candidates.turn)
}
