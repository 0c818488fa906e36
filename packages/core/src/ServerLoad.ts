/**
 * What a server measures of itself for its `LoadReport`: the requests in flight, and what latency they had lately at
 * about the same number in flight.
 *
 * Latency is kept by the number of requests that were in flight when the request arrived, in classes of a factor of two,
 * so that a report tells what the *next* request will meet: 16 latencies for each class, and the median of them. The
 * caller passes the time in; nothing is allocated after `make`.
 */
import type { LoadReport } from "./LoadReport.ts"

/**
 * What a server measured of itself.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServerLoad {
  inFlight: number
  /** The latest latencies, so many for each class. */
  readonly latencies: Float64Array
  /** How many latencies each class has seen. */
  readonly seen: Float64Array
}

/** Up to 2^20 requests in flight. */
const classes = 21
const remembered = 16

/**
 * Nothing in flight, nothing measured.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (): ServerLoad => ({
  inFlight: 0,
  latencies: new Float64Array(classes * remembered),
  seen: new Float64Array(classes)
})

/**
 * Counts a request in flight; gives what `finish` wants to know of it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const start = (self: ServerLoad): number => self.inFlight++

/**
 * Counts the request in flight no more.
 *
 * @category combinators
 * @since 0.1.0
 */
export const end = (self: ServerLoad): void => {
  self.inFlight--
}

/**
 * Takes note that a request that found `others` in flight was answered after `elapsed` milliseconds.
 *
 * @category combinators
 * @since 0.1.0
 */
export const answered = (self: ServerLoad, others: number, elapsed: number): void => {
  const at = classOf(others)
  self.latencies[at * remembered + (self.seen[at]++ % remembered)] = elapsed
}

/**
 * What to tell a client with an answer: itself not counted, and the latency of the nearest class that has one.
 *
 * @category getters
 * @since 0.1.0
 */
export const report = (self: ServerLoad): LoadReport => {
  const inFlight = Math.max(0, self.inFlight - 1)
  const wanted = classOf(inFlight)
  for (let distance = 0; distance < classes; distance++) {
    const lower = wanted - distance
    const higher = wanted + distance
    if (lower >= 0 && self.seen[lower] > 0) return { inFlight, latency: medianOf(self, lower) }
    if (higher < classes && self.seen[higher] > 0) return { inFlight, latency: medianOf(self, higher) }
  }
  return { inFlight, latency: 0 }
}

/** 0, 1, 2 to 3, 4 to 7, … */
const classOf = (others: number): number => Math.min(classes - 1, 32 - Math.clz32(others))

const medianOf = ({ latencies, seen }: ServerLoad, at: number): number => {
  const length = Math.min(remembered, seen[at])
  return latencies.slice(at * remembered, at * remembered + length).toSorted()[(length - 1) >> 1]
}
