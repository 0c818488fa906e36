/**
 * When a lease in a shared file is over, without a clock that its writers and readers share.
 *
 * A renewal counts up in the file; a lease is over for an observer that saw the count stand still for the time to live
 * on the observer's own clock. Time in which the observer did not look (it was stopped, or the file was away) does not
 * count, because the others may have been kept from renewing by the same cause.
 */
import type { Beat } from "./tables.ts"

/** What one observer saw so far; times are milliseconds of observation. */
export interface Observed {
  readonly lookedAt: number
  readonly elapsed: number
  readonly seen: ReadonlyMap<string, { readonly beat: number; readonly since: number }>
}

/** Has not looked yet. */
export const initial: Observed = { lookedAt: 0, elapsed: 0, seen: new Map() }

/** Looks at all leases at `now`; of the time since the last look at most `longest` counts. */
export const look = (
  self: Observed,
  beats: ReadonlyArray<Beat>,
  now: number,
  longest: number
): { readonly observed: Observed; readonly over: ReadonlyArray<Beat> } => {
  const elapsed = self.elapsed + Math.min(longest, now - self.lookedAt)
  const seen = new Map<string, { readonly beat: number; readonly since: number }>()
  const over: Array<Beat> = []
  for (const lease of beats) {
    const known = self.seen.get(lease.lease)
    const still = known?.beat === lease.beat ? known : { beat: lease.beat, since: elapsed }
    seen.set(lease.lease, still)
    if (elapsed - still.since >= lease.ttl) over.push(lease)
  }
  return { observed: { lookedAt: now, elapsed, seen }, over }
}
