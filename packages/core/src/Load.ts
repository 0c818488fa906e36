/**
 * What one client measured of each instance: latency, requests in flight, failure rate, push-back.
 *
 * Numbers live in typed arrays, one slot for each instance, so that a start, a finish and a cost allocate nothing and
 * touch one cache line. Everything decays with time: `cost` projects to `now` and changes nothing, so reading more
 * often never changes a choice. It is measurement, not state: no part of a replay.
 *
 * Times are milliseconds on one monotonic clock, passed in.
 *
 * Size: all of these numbers are written together and read together, by one layout.
 */
import type { Outcome } from "./Outcome.ts"
import * as Reports from "./internal/reports.ts"

/**
 * The constants of the measurement, durations in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Time constant of the latency's moving average. */
  readonly tau: number
  /** The latency of an instance when nothing was measured anywhere. */
  readonly firstEstimate: number
  /** So many answers of an instance make its latency known; until then it is not compared. */
  readonly answersToKnow: number
  /** Costs that differ by no more than this share are the same. */
  readonly noise: number
  /** Added to every latency, so that what a busy event loop adds to a fast answer decides nothing. */
  readonly jitter: number
  /** Time constant with which failures are forgotten while there is no traffic. */
  readonly failureTau: number
  /** The number of requests over which failures are remembered. */
  readonly failureMemory: number
  /** The window of `successRate`. */
  readonly window: number
  /** The longest push-back that is honoured. */
  readonly maxPushBack: number
}

/**
 * The measurements of all instances of one service.
 *
 * @category models
 * @since 0.1.0
 */
export interface Load {
  readonly options: Options
  /** What a pick reads: one cache line for each slot. */
  hot: Float64Array
  /** What only a finish reads. */
  cold: Float64Array
  readonly free: Array<number>
  slots: number
  /** By slot: a number that every client derives from the instance in the same way. */
  readonly seeds: Array<number>
  /** Grows whenever somebody joins, leaves, or is given another weight. */
  version: number
  /** What the instances said of themselves. */
  readonly reports: Reports.Reports
  /** Latency of those that were not measured yet, and when it was found. */
  typical: number
  typicalAt: number
  totalWeight: number
  /** Requests in flight to all. */
  inFlight: number
  /** Requests and failures of all, decaying over `window`. */
  requests: number
  failures: number
  at: number
}

const hotStride = 8
/** The latency to expect; 0 until it is known. */
const expected = 0
const updatedAt = 1
const failing = 2
const inFlight = 3
const pushedBackUntil = 4
const weight = 5
const warmAt = 6
const warmRate = 7

const coldStride = 6
const windowRequests = 0
const windowFailures = 1
const streak = 2
const unanswered = 3
const answers = 4
const lastAnswer = 5

/**
 * Room for instances, without any.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Load => ({
  options,
  hot: new Float64Array(16 * hotStride),
  cold: new Float64Array(16 * coldStride),
  free: [],
  slots: 0,
  seeds: [],
  version: 0,
  reports: Reports.make(),
  typical: options.firstEstimate,
  typicalAt: 0,
  totalWeight: 0,
  inFlight: 0,
  requests: 0,
  failures: 0,
  at: 0
})

/**
 * A clean slot for an instance of this weight: its latency is what is typical of the others until it is measured.
 * `seed` is a hash of what identifies the instance everywhere; by default the slot, which nobody else knows.
 *
 * @category combinators
 * @since 0.1.0
 */
export const join = (self: Load, ownWeight: number, now: number, seed?: number): number => {
  const slot = self.free.pop() ?? self.slots++
  if (self.hot.length < self.slots * hotStride) {
    self.hot = grown(self.hot)
    self.cold = grown(self.cold)
  }
  self.hot.fill(0, slot * hotStride, (slot + 1) * hotStride)
  self.cold.fill(0, slot * coldStride, (slot + 1) * coldStride)
  self.hot[slot * hotStride + updatedAt] = now
  self.seeds[slot] = seed ?? slot
  Reports.forget(self.reports, slot)
  weigh(self, slot, ownWeight)
  findTypical(self, now)
  return slot
}

/**
 * Forgets an instance. Its slot is used again once nothing is in flight there.
 *
 * @category combinators
 * @since 0.1.0
 */
export const leave = (self: Load, slot: number): void => {
  weigh(self, slot, 0)
  self.hot[slot * hotStride + weight] = gone
  if (requestsInFlight(self, slot) === 0) self.free.push(slot)
}

/**
 * Sets the weight of an instance: with twice the weight it may have twice as many requests in flight.
 *
 * @category combinators
 * @since 0.1.0
 */
export const weigh = (self: Load, slot: number, to: number): void => {
  self.totalWeight += to - self.hot[slot * hotStride + weight]
  self.hot[slot * hotStride + weight] = to
  self.version++
}

/** The weight of an instance that left while requests were in flight. */
const gone = -1

/**
 * One more request in flight.
 *
 * @category combinators
 * @since 0.1.0
 */
export const start = (self: Load, slot: number): void => {
  self.hot[slot * hotStride + inFlight]++
  self.inFlight++
}

/**
 * One request fewer in flight.
 *
 * @category combinators
 * @since 0.1.0
 */
export const end = (self: Load, slot: number): void => {
  const base = slot * hotStride
  self.inFlight--
  if (--self.hot[base + inFlight] === 0 && self.hot[base + weight] === gone) self.free.push(slot)
}

/**
 * Takes note of how an attempt turned out after `elapsed` milliseconds.
 *
 * Latency is a peak-sensitive moving average, max(x, e·w + x·(1 − w)) with w = exp(−dt/tau): up at once, down slowly
 * (Finagle, "Peak EWMA"). Here x is the faster of two answers in a row, because one slow answer is no slow instance.
 * Only an answer can lower it, so failing fast never looks fast. The failure rate moves by one part in `failureMemory`
 * for each answer and twice as far for each further failure of a streak: 1 % of errors stays near 0.01 at any request
 * rate, four failures in a row reach 0.7. Floating point throughout, so nothing drifts.
 *
 * @category combinators
 * @since 0.1.0
 */
export const record = (self: Load, slot: number, outcome: Outcome, elapsed: number, now: number): void => {
  const { hot, options } = self
  const base = slot * hotStride
  const since = now - hot[base + updatedAt]
  const before = hot[base + expected]
  const kept = decay(since / options.tau)
  hot[base + expected] =
    outcome._tag === "Succeeded"
      ? answeredLatency(self, slot, before, kept, elapsed)
      : Math.max(before * kept, learned(self, slot, outcome, latency(self, slot, now), elapsed))
  const rate = hot[base + failing] * decay(since / options.failureTau)
  hot[base + updatedAt] = now
  hot[base + failing] = count(self, slot, outcome, rate, since, now)
  if (before === 0 && hot[base + expected] > 0) findTypical(self, now)
}

/** The latency after an answer; 0 while there were too few to know it. */
const answeredLatency = (self: Load, slot: number, before: number, kept: number, elapsed: number): number => {
  const { cold, options } = self
  const base = slot * coldStride
  const sample = cold[base + answers] === 0 ? elapsed : Math.min(elapsed, cold[base + lastAnswer])
  cold[base + lastAnswer] = elapsed
  if (before === 0) return ++cold[base + answers] < options.answersToKnow ? 0 : sample
  return Math.max(sample, before * kept + sample * (1 - kept))
}

/**
 * What an attempt without an answer says of the latency; 0 when that is no more than was expected.
 *
 * A caller that gave up knows only that the answer would have taken longer. One such time counts as it is, and each
 * further one without an answer between for twice as much, up to 16 times.
 */
const learned = (self: Load, slot: number, outcome: Outcome, before: number, elapsed: number): number => {
  if (outcome._tag !== "Interrupted") return elapsed > before && outcome._tag !== "Refused" ? elapsed : 0
  const base = slot * coldStride + unanswered
  const atLeast = elapsed * 2 ** Math.min(self.cold[base], 4)
  if (atLeast <= before) return 0
  self.cold[base]++
  return atLeast
}

/** The new failure rate; counts streak and window on the way. */
const count = (self: Load, slot: number, outcome: Outcome, rate: number, since: number, now: number): number => {
  const { cold, options } = self
  const base = slot * coldStride
  const gain = 1 / options.failureMemory
  switch (outcome._tag) {
    case "Interrupted":
      observe(self, slot, 0, 0, since, now)
      return rate
    case "PushedBack": {
      observe(self, slot, 0, 0, since, now)
      if (outcome.retryAfter !== undefined) {
        const until = now + Math.min(outcome.retryAfter, options.maxPushBack)
        const hotBase = slot * hotStride + pushedBackUntil
        self.hot[hotBase] = Math.max(self.hot[hotBase], until)
      }
      return rate + (1 - rate) * gain
    }
    case "Succeeded":
      observe(self, slot, 1, 0, since, now)
      cold[base + streak] = 0
      cold[base + unanswered] = 0
      return rate - rate * gain
    default: {
      observe(self, slot, 1, 1, since, now)
      const length = ++cold[base + streak]
      const sure = outcome._tag === "Refused" ? 1 / 2 : Math.min(1 / 2, gain * 2 ** Math.min(length - 1, 10))
      return rate + (1 - rate) * sure
    }
  }
}

/** Adds to the decaying counts over the window, of the instance and of all. */
const observe = (self: Load, slot: number, requests: number, failures: number, since: number, now: number): void => {
  const { cold, options } = self
  const base = slot * coldStride
  const own = decay(since / options.window)
  cold[base + windowRequests] = cold[base + windowRequests] * own + requests
  cold[base + windowFailures] = cold[base + windowFailures] * own + failures
  const all = decay((now - self.at) / options.window)
  self.requests = self.requests * all + requests
  self.failures = self.failures * all + failures
  self.at = now
}

/**
 * Forgets the failures of an instance that proved to be well, and takes the latency of that proof for its own.
 *
 * @category combinators
 * @since 0.1.0
 */
export const pardon = (self: Load, slot: number, elapsed: number): void => {
  const base = slot * hotStride
  self.hot[base + expected] = elapsed
  self.hot[base + failing] = 0
  self.hot[base + pushedBackUntil] = 0
  self.cold.fill(0, slot * coldStride, (slot + 1) * coldStride)
  self.cold[slot * coldStride + answers] = 1
  self.cold[slot * coldStride + lastAnswer] = elapsed
}

/**
 * Warms an instance up from the share `floor` at `since` to its full share at `until`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const warm = (self: Load, slot: number, since: number, until: number, floor: number): void => {
  const base = slot * hotStride
  self.hot[base + warmAt] = until
  self.hot[base + warmRate] = (1 - floor) / (until - since)
}

/**
 * The share of its full share that an instance should get: 1 once it is warm.
 *
 * @category getters
 * @since 0.1.0
 */
export const warmth = (self: Load, slot: number, now: number): number => {
  const base = slot * hotStride
  const remaining = self.hot[base + warmAt] - now
  return remaining <= 0 ? 1 : 1 - remaining * self.hot[base + warmRate]
}

/**
 * Whether enough is known of the latency of an instance to compare it with others.
 *
 * @category getters
 * @since 0.1.0
 */
export const isKnown = (self: Load, slot: number): boolean => self.hot[slot * hotStride + expected] > 0

/**
 * What it would cost to send one more request there rather than to `rival`: latency × `pressure`.
 *
 * What is typical of the others is expected of an instance whose latency is not known, but never more than of its rival:
 * it is given the chance to become known.
 *
 * @category getters
 * @since 0.1.0
 */
export const cost = (self: Load, slot: number, rival: number, now: number): number => {
  const own = latency(self, slot, now)
  const expected = isKnown(self, slot) ? own : Math.min(own, latency(self, rival, now))
  return (expected + self.options.jitter) * pressure(self, slot, now)
}

/**
 * How long an answer is thought to take, in milliseconds; what is typical of the others as long as nothing is known.
 *
 * @category getters
 * @since 0.1.0
 */
export const latency = (self: Load, slot: number, now: number): number => {
  const base = slot * hotStride
  const estimate = self.hot[base + expected]
  return estimate === 0
    ? typicalLatency(self, now)
    : estimate * decay((now - self.hot[base + updatedAt]) / self.options.tau)
}

/**
 * How busy and how broken an instance is, whatever its latency: (in flight + 1), raised by failures and push-back.
 *
 * In flight is relative to what this instance would have if all were spread by weight, so that the shares stay what the
 * weights say. Failures divide by the eighth power of the success rate: 1 % of errors costs 8 %, which is noise; a
 * streak of two costs 5 times as much, of three 50 times, of four 10 000 times.
 *
 * @category getters
 * @since 0.1.0
 */
export const pressure = (self: Load, slot: number, now: number): number => {
  const { hot } = self
  const base = slot * hotStride
  const own = hot[base + weight]
  const fair = own === 0 ? 0 : (self.inFlight * own) / self.totalWeight
  return ((hot[base + inFlight] + 1) / (fair + 1)) * handicap(self, slot, now)
}

/**
 * By how much failures and push-back raise the cost of an instance: 1 for one without.
 *
 * @category getters
 * @since 0.1.0
 */
export const handicap = (self: Load, slot: number, now: number): number => {
  const base = slot * hotStride
  let factor = 1
  if (self.hot[base + failing] > 0) {
    const success = Math.max(0.05, 1 - failureRate(self, slot, now))
    const squared = success * success
    const fourth = squared * squared
    factor /= fourth * fourth
  }
  return self.hot[base + pushedBackUntil] > now ? factor * pushBackFactor : factor
}

/** An instance that asked to be left alone loses against any other that is not quite broken itself. */
const pushBackFactor = 1000

/**
 * The share of the latest requests that failed, from 0 to 1; forgotten with time.
 *
 * @category getters
 * @since 0.1.0
 */
export const failureRate = ({ hot, options }: Load, slot: number, now: number): number =>
  hot[slot * hotStride + failing] * decay((now - hot[slot * hotStride + updatedAt]) / options.failureTau)

/**
 * Whether the instance asked to be left alone until later than now.
 *
 * @category getters
 * @since 0.1.0
 */
export const isPushedBack = (self: Load, slot: number, now: number): boolean =>
  self.hot[slot * hotStride + pushedBackUntil] > now

/**
 * When something was last heard of an instance, or when it joined.
 *
 * @category getters
 * @since 0.1.0
 */
export const heardAt = (self: Load, slot: number): number => self.hot[slot * hotStride + updatedAt]

/**
 * The weight of an instance; negative once it has left.
 *
 * @category getters
 * @since 0.1.0
 */
export const weightOf = (self: Load, slot: number): number => self.hot[slot * hotStride + weight]

/**
 * How many requests are in flight.
 *
 * @category getters
 * @since 0.1.0
 */
export const requestsInFlight = (self: Load, slot: number): number => self.hot[slot * hotStride + inFlight]

/**
 * What speaks for and against the health of an instance: how many requests failed in a row, how many the window holds,
 * older ones counting less, and the share of them that succeeded, here and with all others together.
 *
 * @category getters
 * @since 0.1.0
 */
export const evidence = (self: Load, slot: number) => {
  const base = slot * coldStride
  const requests = self.cold[base + windowRequests]
  const failures = self.cold[base + windowFailures]
  return {
    streak: self.cold[base + streak],
    requests,
    successRate: rateOf(requests, failures),
    successRateOfOthers: rateOf(self.requests - requests, self.failures - failures)
  }
}

const rateOf = (requests: number, failures: number): number =>
  requests < 1e-6 ? 1 : Math.min(1, Math.max(0, 1 - failures / requests))

/** exp(−x), by its series where requests follow each other quickly: an error below 2e-6 for a tenth of the time. */
const decay = (x: number): number => (x < 0.02 ? 1 - x * (1 - x * 0.5) : Math.exp(-x))

const grown = (cells: Float64Array): Float64Array => {
  const more = new Float64Array(cells.length * 2)
  more.set(cells)
  return more
}

const typicalLatency = (self: Load, now: number): number =>
  self.typical * decay((now - self.typicalAt) / self.options.tau)

/** So many measurements are enough for a median. */
const sampled = 64

/** The (lower) median of what was measured, from an even sample of the slots. */
const findTypical = (self: Load, now: number): void => {
  const stride = Math.max(1, Math.floor(self.slots / sampled))
  const measured: Array<number> = []
  for (let slot = 0; slot < self.slots; slot += stride) {
    const base = slot * hotStride
    if (self.hot[base + weight] === gone || self.hot[base + expected] === 0) continue
    measured.push(self.hot[base + expected] * decay((now - self.hot[base + updatedAt]) / self.options.tau))
  }
  measured.sort((a, b) => a - b)
  self.typical = measured[(measured.length - 1) >> 1] ?? self.options.firstEstimate
  self.typicalAt = now
}
