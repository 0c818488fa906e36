/**
 * The better of two samples by any cost, as often as weight and warm-up say.
 */
import * as Candidates from "../Candidates.ts"
import * as Load from "../Load.ts"
import * as Recent from "../Recent.ts"
import { type Compare, standIn } from "./standIn.ts"

export const twoChoices = (
  compare: Compare,
  candidates: Candidates.Candidates,
  load: Load.Load,
  now: number,
  random: () => number
): number => {
  const first = Candidates.draw(candidates, random)
  if (candidates.size === 1) return first
  const isEven = Candidates.isEven(candidates)
  const drawn = isEven ? first : Candidates.draw(candidates, random)
  const threshold = isEven || !isAlike(load, first, drawn, now) ? 1 : clearly
  const second = drawn === first ? Candidates.drawOther(candidates, first, random) : drawn
  const costs = compare(load, first, second, now)
  Recent.compared(load.recent, first, second, costs)
  const isCheaper = costs[1] * threshold < costs[0]
  const winner = isCheaper ? second : first
  if (Load.isPlain(load, winner) || Load.warmth(load, winner, now) === 1) return winner
  return standIn(compare, winner, isCheaper ? first : second, candidates, load, now, random)
}

/**
 * With uneven weights both samples are drawn alike, or the heavy ones would lose more comparisons than they win. One
 * that is drawn twice stays the choice unless it costs so many times as much as another. So does the first of two that
 * take equally long: what a light one has in flight varies more for its size than what a heavy one has, and shares were
 * up to 4 % off what the weights say when each difference counted.
 */
const clearly = 4

const isAlike = (load: Load.Load, first: number, drawn: number, now: number): boolean =>
  drawn === first || Load.isAlike(load, first, drawn, now)
