import type { Candidates } from "../Candidates.ts"
import { unlessSpared } from "../internal/standIn.ts"
import { maxTries, someTurn, takesPart } from "../internal/turns.ts"
import type { Policy } from "../Pick.ts"

/**
 * Each in turn as often as its weight says, with the turns of a heavy one spread among those of the others, whatever its
 * latency and load.
 *
 * nginx's smooth weighted round robin: all gain their weight, the richest is chosen and pays the total. That would touch
 * every instance on each pick, so it is played among the groups of similar weight, of which there are few; within a
 * group the turns go around. After any number of picks nobody is more than a few away from its exact share.
 *
 * @category policies
 * @since 0.1.0
 */
export const smoothRoundRobin: Policy = (candidates, load, now, random) =>
  unlessSpared(next(candidates, random), candidates, load, now, random)

const next = ({ groups, total, weights }: Candidates, random: () => number): number => {
  let richest = groups[0]
  for (const group of groups) {
    group.credit += group.total
    if (group.credit > richest.credit) richest = group
  }
  richest.credit -= total
  if (richest.turn < 0) richest.turn = someTurn(random)
  const { heaviest, slots } = richest
  for (let tries = 1; ; tries++) {
    const turn = richest.turn++
    const slot = slots[turn % slots.length]
    if (tries === maxTries || takesPart(slot, Math.floor(turn / slots.length), weights[slot], heaviest)) return slot
  }
}
