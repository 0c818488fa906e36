/**
 * What instances said of themselves with their answers, one slot for each, and how that compares with the others.
 *
 * A report is true of one moment. Until the next one, this client's own requests since then are added to it; after
 * `lifetime` it says nothing any more (Prequal forgets its probes after one second as well).
 */

import type { LoadReport } from "../LoadReport.ts"

export interface Reports {
  cells: Float64Array
  /** The latest reports of all, in flight by weight, and when they came; what is hot is found from them. */
  readonly recent: Float64Array
  readonly recentAt: Float64Array
  count: number
}

const stride = 4
const inFlight = 0
const latency = 1
const own = 2
/** How long the report is believed; 0 where there is none. */
const until = 3

/** Prequal's pool has 16 probes as well. */
const remembered = 16
const lifetime = 1000

export const make = (): Reports => ({
  cells: new Float64Array(16 * stride),
  recent: new Float64Array(remembered),
  recentAt: new Float64Array(remembered).fill(-Infinity),
  count: 0
})

export const forget = (self: Reports, slot: number): void => {
  self.cells.fill(0, slot * stride, (slot + 1) * stride)
}

/** Takes note of a report; `ownInFlight` are the requests of this client there, `share` is its weight. */
export const note = (
  self: Reports,
  slot: number,
  report: LoadReport,
  ownInFlight: number,
  share: number,
  now: number
): void => {
  if (self.cells.length < (slot + 1) * stride) {
    const more = new Float64Array(Math.max(self.cells.length * 2, (slot + 1) * stride))
    more.set(self.cells)
    self.cells = more
  }
  const base = slot * stride
  self.cells[base + inFlight] = report.inFlight
  self.cells[base + latency] = report.latency
  self.cells[base + own] = ownInFlight
  self.cells[base + until] = now + lifetime
  const place = self.count++ % remembered
  self.recent[place] = share > 0 ? report.inFlight / share : 0
  self.recentAt[place] = now
}

export const isFresh = (self: Reports, slot: number, now: number): boolean =>
  (slot + 1) * stride <= self.cells.length &&
  self.cells[slot * stride + until] > 0 &&
  self.cells[slot * stride + until] >= now

/** How many requests are in flight there by now; only for a fresh report. */
export const busyness = (self: Reports, slot: number, ownInFlight: number): number =>
  Math.max(ownInFlight, self.cells[slot * stride + inFlight] + ownInFlight - self.cells[slot * stride + own])

/** How long requests took there lately; only for a fresh report. */
export const reported = (self: Reports, slot: number): number => self.cells[slot * stride + latency]

/** Whether that many requests in flight by weight are more than all but the busiest have, who are those above `quantile`. */
export const isHot = (self: Reports, busy: number, quantile: number, now: number): boolean => {
  let fresh = 0
  let fewer = 0
  for (let index = 0; index < remembered; index++) {
    if (now - self.recentAt[index] > lifetime) continue
    fresh++
    if (self.recent[index] < busy) fewer++
  }
  return fresh > 0 && fewer >= quantile * fresh
}
