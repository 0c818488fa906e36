/**
 * The better of two samples by any cost, as often as weight and warm-up say.
 */
import * as Candidates from "../Candidates.ts"
import * as Load from "../Load.ts"
import * as Recent from "../Recent.ts"
import { type Compare, spare } from "./standIn.ts"

export const twoChoices = (
  compare: Compare,
  candidates: Candidates.Candidates,
  load: Load.Load,
  now: number,
  random: () => number
): number => {
  const { even, size } = candidates
  if (even === undefined || size === 1) return uneven(compare, candidates, load, now, random)
  const place = (random() * size) | 0
  const other = (random() * (size - 1)) | 0
  const first = even[place]
  // Added, because half of the branches would be foreseen wrongly.
  const second = even[other + Number(other >= place)]
  const costs = compare(load, first, second, now)
  Recent.compared(load.recent, first, second, costs)
  const winner = costs[1] < costs[0] ? second : first
  if (Load.isPlain(load, winner)) return winner
  return spare(compare, winner, first + second - winner, candidates, load, now, random)
}

/**
 * With uneven weights both samples are drawn alike, or the heavy ones would lose more comparisons than they win. One
 * that is drawn twice stays the choice unless it costs so many times as much as another. So does the first of two that
 * take equally long: what a light one has in flight varies more for its size than what a heavy one has, and shares were
 * up to 4 % off what the weights say when each difference counted.
 */
const clearly = 4

const uneven = (
  compare: Compare,
  candidates: Candidates.Candidates,
  load: Load.Load,
  now: number,
  random: () => number
): number => {
  const first = Candidates.draw(candidates, random)
  if (candidates.size === 1) return first
  const drawn = Candidates.draw(candidates, random)
  const threshold = isAlike(load, first, drawn, now) ? clearly : 1
  const second = drawn === first ? Candidates.drawOther(candidates, first, random) : drawn
  const costs = compare(load, first, second, now)
  Recent.compared(load.recent, first, second, costs)
  const isCheaper = costs[1] * threshold < costs[0]
  return isCheaper
    ? spare(compare, second, first, candidates, load, now, random)
    : spare(compare, first, second, candidates, load, now, random)
}

const isAlike = (load: Load.Load, first: number, drawn: number, now: number): boolean =>
  drawn === first || Load.isAlike(load, first, drawn, now)
