import * as Candidates from "../Candidates.ts"
import { unlessSpared } from "../internal/standIn.ts"
import { maxTries, someTurn, takesPart } from "../internal/turns.ts"
import type { Policy } from "../Pick.ts"

/**
 * Each in turn, whatever its latency and load; a lighter one sits out some of the rounds.
 *
 * @category policies
 * @since 0.1.0
 */
export const roundRobin: Policy = (candidates, load, now, random) =>
  unlessSpared(next(candidates, random), candidates, load, now, random)

const next = (candidates: Candidates.Candidates, random: () => number): number => {
  let heaviest = 0
  for (const group of candidates.groups) heaviest = Math.max(heaviest, group.heaviest)
  if (candidates.turn < 0) candidates.turn = someTurn(random)
  for (let tries = 0; tries < maxTries; tries++) {
    const turn = candidates.turn++
    const slot = Candidates.at(candidates, turn % candidates.size)
    const round = Math.floor(turn / candidates.size)
    if (takesPart(slot, round, candidates.weights[slot], heaviest)) return slot
  }
  return Candidates.draw(candidates, random)
}
