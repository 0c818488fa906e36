import * as Candidates from "../Candidates.ts"
import * as Reports from "../internal/reports.ts"
import { isUnwell, spare, unlessSpared } from "../internal/standIn.ts"
import * as Load from "../Load.ts"
import type { Policy } from "../Pick.ts"
import * as Recent from "../Recent.ts"

/**
 * Of a few, the fastest that is not among the busiest, or else the least busy: Prequal's hot-cold rule (Wydrowski et al.,
 * NSDI 2024), by what instances say of themselves with their answers.
 *
 * An instance is hot if it has more requests in flight, by weight, than the quantile 2^(−1/4) of the latest reports; one
 * that is unwell is hot as well. Instances without a report of the last second are compared as `p2c` does, so the rule
 * is of use with servers that report (`Registrar.serve`) and with several requests per second to each of them.
 *
 * @category policies
 * @since 0.1.0
 */
export const hotCold: Policy = (candidates, load, now, random) => {
  let best = Candidates.draw(candidates, random)
  if (candidates.size === 1) return best
  let loser = best
  for (let sample = 1; sample < samples; sample++) {
    // With uneven weights all samples are drawn alike, or the heavy ones would lose more comparisons than they win.
    const other = Candidates.isEven(candidates)
      ? Candidates.drawOther(candidates, best, random)
      : Candidates.draw(candidates, random)
    if (other === best) continue
    const isOtherBetter = isBetter(load, other, best, now)
    loser = isOtherBetter ? best : other
    if (isOtherBetter) best = other
  }
  if (loser === best) return unlessSpared(best, candidates, load, now, random)
  Load.compare(load, best, loser, now, Recent.compared(load.recent, best, loser))
  return spare(Load.compare, best, loser, candidates, load, now, random)
}

/** Prequal's synchronous mode looks at 3 to 5. */
const samples = 4

const quantile = 2 ** -0.25

const isBetter = (load: Load.Load, slot: number, than: number, now: number): boolean => {
  const { reports } = load
  const tolerance = load.tolerance
  if (!Reports.isFresh(reports, slot, now) || !Reports.isFresh(reports, than, now)) {
    Load.compare(load, slot, than, now, costs)
    return costs.costOfOne * tolerance < costs.costOfOther
  }
  const isHot = isHotOne(load, slot, now)
  if (isHot !== isHotOne(load, than, now)) return !isHot
  return isHot
    ? pressure(load, slot, now) < pressure(load, than, now)
    : latency(load, slot, now) * tolerance < latency(load, than, now)
}

const costs = Recent.costs()

const isHotOne = (load: Load.Load, slot: number, now: number): boolean =>
  isUnwell(load, slot, now) || Reports.isHot(load.reports, busyness(load, slot), quantile, now)

/** With one more request, so that an idle instance that fails is still worse than an idle one that does not. */
const pressure = (load: Load.Load, slot: number, now: number): number =>
  (busyness(load, slot) + 1) * Load.handicap(load, slot, now)

/** Requests in flight by weight. */
const busyness = (load: Load.Load, slot: number): number =>
  Reports.busyness(load.reports, slot, Load.requestsInFlight(load, slot)) / Load.weightOf(load, slot)

const latency = (load: Load.Load, slot: number, now: number): number =>
  (Reports.reported(load.reports, slot) + load.jitter) * Load.handicap(load, slot, now)
