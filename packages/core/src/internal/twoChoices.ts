/**
 * The better of two samples by any cost, as often as weight and warm-up say.
 */
import * as Candidates from "../Candidates.ts"
import * as Load from "../Load.ts"
import * as Recent from "../Recent.ts"
import { type Cost, standIn } from "./standIn.ts"

export const twoChoices = (
  cost: Cost,
  candidates: Candidates.Candidates,
  load: Load.Load,
  now: number,
  random: () => number
): number => {
  const first = Candidates.draw(candidates, random)
  if (candidates.size === 1) return first
  let second = first
  let threshold = 1
  if (!Candidates.isEven(candidates)) {
    second = Candidates.draw(candidates, random)
    if (second === first || Load.isAlike(load, first, second, now)) threshold = clearly
  }
  if (second === first) second = Candidates.drawOther(candidates, first, random)
  const costOfFirst = cost(load, first, second, now)
  const costOfSecond = cost(load, second, first, now)
  Recent.compared(load.recent, first, costOfFirst, second, costOfSecond)
  const isCheaper = costOfSecond * threshold < costOfFirst
  const winner = isCheaper ? second : first
  if (Load.warmth(load, winner, now) === 1) return winner
  return standIn(cost, winner, isCheaper ? first : second, candidates, load, now, random)
}

/**
 * With uneven weights both samples are drawn alike, or the heavy ones would lose more comparisons than they win. One
 * that is drawn twice stays the choice unless it costs so many times as much as another. So does the first of two that
 * take equally long: what a light one has in flight varies more for its size than what a heavy one has, and shares were
 * up to 4 % off what the weights say when each difference counted.
 */
const clearly = 4
