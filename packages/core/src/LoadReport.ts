/**
 * What an instance says of its own load with each answer, so that clients choose by what all of them do to it and not
 * only by what each of them does: Prequal's two signals, piggy-backed instead of probed (Wydrowski et al., "Load is not
 * what you should balance", NSDI 2024).
 *
 * On the wire it is one response header: `muster-load: in-flight=3, latency=12.5`. A header that says anything else is
 * no report.
 */
import * as Reports from "./internal/reports.ts"
import * as Load from "./Load.ts"

/**
 * How many other requests the instance has in flight, and how many milliseconds requests took lately at such a load.
 *
 * @category models
 * @since 0.1.0
 */
export interface LoadReport {
  readonly inFlight: number
  readonly latency: number
}

/**
 * The response header that carries a report.
 *
 * @category constants
 * @since 0.1.0
 */
export const header = "muster-load"

/**
 * A report as the value of the header; the latency to a hundredth of a millisecond.
 *
 * @category codecs
 * @since 0.1.0
 */
export const format = ({ inFlight, latency }: LoadReport): string =>
  `in-flight=${inFlight}, latency=${Math.round(latency * 100) / 100}`

/**
 * The report in the value of the header, or `undefined` if that is none.
 *
 * @category codecs
 * @since 0.1.0
 */
export const parse = (value: string): LoadReport | undefined => {
  const match = pattern.exec(value)
  return match === null ? undefined : { inFlight: Number(match[1]), latency: Number(match[2]) }
}

/** Numbers of at most nine digits: nothing that a broken server says becomes infinite. */
const pattern = /^in-flight=(\d{1,9}), latency=(\d{1,9}(?:\.\d{1,2})?)$/

/**
 * Takes note of what an instance said of itself with an answer, while that request still counts as in flight.
 *
 * @category combinators
 * @since 0.1.0
 */
export const note = (load: Load.Load, slot: number, report: LoadReport, now: number): void =>
  Reports.note(load.reports, slot, report, Load.requestsInFlight(load, slot) - 1, Load.weightOf(load, slot), now)
