import * as Candidates from "../Candidates.ts"
import { unlessSpared } from "../internal/standIn.ts"
import type { Policy } from "../Pick.ts"

/**
 * Any of them, each as often as its weight says, whatever its latency and load.
 *
 * @category policies
 * @since 0.1.0
 */
export const weightedRandom: Policy = (candidates, load, now, random) =>
  unlessSpared(Candidates.draw(candidates, random), candidates, load, now, random)
