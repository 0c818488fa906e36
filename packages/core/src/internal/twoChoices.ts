/**
 * The better of two samples by any cost, as often as weight and warm-up say.
 */
import * as Candidates from "../Candidates.ts"
import * as Load from "../Load.ts"
import * as Recent from "../Recent.ts"
import type { Policy } from "../Pick.ts"
import { type Compare, type ComparePlain, spare } from "./standIn.ts"

/** `comparePlain` does the same as `compare` where both are plain, and else says that they are not. */
export const twoChoices =
  (compare: Compare, comparePlain: ComparePlain): Policy =>
  (candidates, load, now, random) => {
    const { even, isInOrder, size } = candidates
    if (even === undefined) return uneven(compare, candidates, load, now, random)
    const place = (random() * size) | 0
    const other = (random() * (size - 1)) | 0
    // Added, because half of the branches would be foreseen wrongly.
    const elsewhere = other + Number(other >= place)
    const first = isInOrder ? place : even[place]
    const second = isInOrder ? elsewhere : even[elsewhere]
    const costs = Recent.compared(load.recent, first, second)
    if (comparePlain(load, first, second, now, costs)) return costs.costOfOther < costs.costOfOne ? second : first
    return closely(compare, first, second, candidates, load, now, random)
  }

const closely = (
  compare: Compare,
  one: number,
  other: number,
  candidates: Candidates.Candidates,
  load: Load.Load,
  now: number,
  random: () => number,
  threshold = 1
): number => {
  const costs = Recent.compared(load.recent, one, other)
  compare(load, one, other, now, costs)
  return costs.costOfOther * threshold < costs.costOfOne
    ? spare(compare, other, one, candidates, load, now, random)
    : spare(compare, one, other, candidates, load, now, random)
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
  return closely(compare, first, second, candidates, load, now, random, threshold)
}

const isAlike = (load: Load.Load, first: number, drawn: number, now: number): boolean =>
  drawn === first || Load.isAlike(load, first, drawn, now)
