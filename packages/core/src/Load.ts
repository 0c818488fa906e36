/**
 * What one client measured of each instance: latency, requests in flight, failure rate, push-back.
 *
 * Numbers live in typed arrays, one slot for each instance. What a healthy instance needs for a start, a cost and an
 * answer lies together and allocates nothing; all else is kept apart, and read only where a mark says that there is
 * something to read, so that ten thousand instances cost hardly more than ten. Everything decays with time: `compare`
 * projects to `now` and changes nothing, so reading more often never changes a choice. It is measurement, not state: no
 * part of a replay.
 *
 * Times are milliseconds on one monotonic clock, passed in.
 *
 * Size: what the cells of a slot mean is known to this file alone.
 */
import type { Outcome } from "./Outcome.ts"
import * as Recent from "./Recent.ts"
import * as Reports from "./internal/reports.ts"

/**
 * The constants of the measurement, durations in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Time constant with which a latency is forgotten. */
  readonly tau: number
  /** The number of answers over which latency and requests in flight are averaged. */
  readonly memory: number
  /** The latency of an instance when nothing was measured anywhere. */
  readonly firstEstimate: number
  /** The first so many answers of all say how cold this client is, and nothing of the instances. */
  readonly answersToWarm: number
  /** So many answers of an instance make its latency known; until then it is not compared. */
  readonly answersToKnow: number
  /** What fewer than `memory` answers said is forgotten within so many requests to all instances, at the soonest. */
  readonly requestsToForget: number
  /** Latencies that differ by no more than this share are the same. */
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
  /** What every pick and every answer needs: six cells for each slot, so that those of ten thousand fit a cache. */
  hot: Float64Array
  /** What only those need that are not well, warm and known. */
  cold: Float64Array
  readonly free: Array<number>
  /** The last choices. */
  readonly recent: Recent.Recent
  /** What follows from the options: 1 / `tau`, 1 / `memory`, how many times as long is the same, and `jitter`, at hand. */
  readonly perTau: number
  readonly leastGain: number
  readonly tolerance: number
  readonly jitter: number
  slots: number
  /** By slot: a number that every client derives from the instance in the same way. */
  readonly seeds: Array<number>
  /** Grows whenever somebody joins, leaves, or is given another weight. */
  version: number
  /** What the instances said of themselves. */
  readonly reports: Reports.Reports
  /** How many answers came while this client was cold. */
  answersWhileCold: number
  /** Latency of those that were not measured yet, 0 when nobody was, and when it was found. */
  typical: number
  typicalAt: number
  totalWeight: number
  /** Requests in flight to all. */
  inFlight: number
  /** Requests and failures of all in the window, in the unit of `growth`. */
  requests: number
  failures: number
  /** What one request counted in the window at `grownAt`, and from when on it is to count more. */
  growth: number
  grownAt: number
  growsAt: number
}

const hotStride = 6
/** The latency to expect; not positive until it is known, then less what was seen so far. */
const expected = 0
const updatedAt = 1
/** Its weight; 0 where there is more to know of it, which is in the cold cells. */
const plainWeight = 2
const inFlight = 3
/** How many are usually in flight. */
const usual = 4
const windowRequests = 5

const coldStride = 10
const failing = 0
const windowFailures = 1
const streak = 2
const unanswered = 3
const pushedBackUntil = 4
const warmAt = 5
const warmRate = 6
/** How many times it answered. */
const answers = 7
const weight = 8
/** A sum of those that follow; 0 for an instance of which nothing else has to be known. */
const marks = 9

/** Some of its latest requests went wrong. */
const troubled = 1
const pushedBack = 2
const warming = 4
/** Somebody wants to look at each of its outcomes. */
const watched = 8
/** It left, perhaps with requests in flight. */
const gone = 16
/** It has not answered `memory` times yet. */
const young = 32

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
  recent: Recent.make(),
  perTau: 1 / options.tau,
  leastGain: 1 / options.memory,
  tolerance: 1 + options.noise,
  jitter: options.jitter,
  slots: 0,
  seeds: [],
  version: 0,
  reports: Reports.make(),
  answersWhileCold: 0,
  typical: 0,
  typicalAt: 0,
  totalWeight: 0,
  inFlight: 0,
  requests: 0,
  failures: 0,
  growth: 1,
  grownAt: 0,
  growsAt: options.window * step
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
  mark(self, slot, young, true)
  self.seeds[slot] = seed ?? slot
  Reports.forget(self.reports, slot)
  Recent.forget(self.recent, slot)
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
  mark(self, slot, gone, true)
  if (requestsInFlight(self, slot) === 0) release(self, slot)
}

/**
 * Sets the weight of an instance: with twice the weight it may have twice as many requests in flight.
 *
 * @category combinators
 * @since 0.1.0
 */
export const weigh = (self: Load, slot: number, to: number): void => {
  const cell = slot * coldStride + weight
  self.totalWeight += to - self.cold[cell]
  self.cold[cell] = to
  self.version++
  sumUp(self, slot)
}

/**
 * Says whether each outcome of an instance is to be looked at: it is not `isPlain` then.
 *
 * @category combinators
 * @since 0.1.0
 */
export const watch = (self: Load, slot: number, on: boolean): void => mark(self, slot, watched, on)

/**
 * Whether nothing is to be known of an instance but its weight, its latency and its requests: it is well and warm, nobody
 * watches it, and it has not left. Not so for one without weight.
 *
 * @category getters
 * @since 0.1.0
 */
export const isPlain = (self: Load, slot: number): boolean => self.hot[slot * hotStride + plainWeight] > 0

/**
 * Whether somebody wants to look at each outcome of an instance.
 *
 * @category getters
 * @since 0.1.0
 */
export const isWatched = (self: Load, slot: number): boolean => !isPlain(self, slot) && has(self, slot, watched)

const mark = (self: Load, slot: number, bit: number, on: boolean): void => {
  const cell = slot * coldStride + marks
  self.cold[cell] = on ? self.cold[cell] | bit : self.cold[cell] & ~bit
  sumUp(self, slot)
}

/** Says in one hot cell what two cold ones say. */
const sumUp = ({ cold, hot }: Load, slot: number): void => {
  const base = slot * coldStride
  hot[slot * hotStride + plainWeight] = cold[base + marks] === 0 ? cold[base + weight] : 0
}

const has = (self: Load, slot: number, bit: number): boolean => (self.cold[slot * coldStride + marks] & bit) !== 0

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
  const { hot } = self
  const base = slot * hotStride
  self.inFlight--
  if (--hot[base + inFlight] === 0 && hot[base + plainWeight] === 0) release(self, slot)
}

const release = (self: Load, slot: number): void => {
  if (has(self, slot, gone)) self.free.push(slot)
}

/**
 * Takes note of how an attempt that began at `startedAt` turned out.
 *
 * Latency is an average over the last `memory` answers, or over the last `tau` where there were fewer. It was Finagle's
 * "Peak EWMA", up at once and down slowly, until the simulator showed that a peak measures how often an instance is
 * asked: of one that answers a thousand times the slowest answer is found, of one that answered twice it is not, and the
 * slow one looked like the others. Only an answer can lower it, so failing fast never looks fast. The failure rate moves
 * by one part in `failureMemory` for each answer and twice as far for each further failure of a streak: 1 % of errors
 * stays near 0.01 at any request rate, four failures in a row reach 0.7. Floating point throughout, so nothing drifts.
 *
 * @category combinators
 * @since 0.1.0
 */
export const record = (self: Load, slot: number, outcome: Outcome, startedAt: number, now: number): void => {
  if (!recordPlain(self, slot, outcome, startedAt, now)) recordClosely(self, slot, outcome, now - startedAt, now)
}

/**
 * The same for an answer of an instance that `isPlain`; else it says that there is more to it, and does nothing.
 *
 * @category combinators
 * @since 0.1.0
 */
export const recordPlain = (self: Load, slot: number, outcome: Outcome, startedAt: number, now: number): boolean => {
  const { hot, leastGain, perTau } = self
  const base = slot * hotStride
  if (outcome._tag !== "Succeeded" || hot[base + plainWeight] === 0) return false
  observe(self, base, now)
  const learned = 1 - decay((now - hot[base + updatedAt]) * perTau)
  const gain = learned > leastGain ? learned : leastGain
  const others = hot[base + inFlight] - 1
  hot[base + expected] += (now - startedAt - hot[base + expected]) * gain
  hot[base + usual] += ((others > 0 ? others : 0) - hot[base + usual]) * gain
  hot[base + updatedAt] = now
  return true
}

const recordClosely = (self: Load, slot: number, outcome: Outcome, elapsed: number, now: number): void => {
  const { hot, options } = self
  const base = slot * hotStride
  const answered = outcome._tag === "Succeeded"
  if (answered) observe(self, base, now)
  if (now - self.typicalAt > typicalFor) findTypical(self, now)
  const since = now - hot[base + updatedAt]
  const before = hot[base + expected]
  const kept = decay(since / tauOf(self, slot))
  const after = answered
    ? averaged(self, slot, before, kept, elapsed)
    : Math.max(before * kept, learned(self, slot, outcome, latency(self, slot, now), elapsed))
  hot[base + expected] = after
  const others = Math.max(0, hot[base + inFlight] - 1)
  hot[base + usual] += (others - hot[base + usual]) * Math.max(1 - kept, 1 / options.memory)
  judge(self, slot, outcome, since, now)
  hot[base + updatedAt] = now
  if (before <= 0 && after > 0) findTypical(self, now)
}

/**
 * The latency after an answer, negative while there were too few to know it.
 *
 * The first answers count for more, each as one of those that there were. What is typical of the others counts as two
 * more, because a lucky first answer would attract what a cold or just restored instance cannot bear. Those that this
 * client got while it was cold itself do not count: who gave the very first ones would look slow for long.
 */
const averaged = (self: Load, slot: number, before: number, kept: number, elapsed: number): number => {
  const { cold, options } = self
  if (self.answersWhileCold < options.answersToWarm) {
    self.answersWhileCold++
    return before
  }
  const count = ++cold[slot * coldStride + answers]
  if (count > options.memory) return before + (elapsed - before) * Math.max(1 - kept, 1 / options.memory)
  const prior = self.typical > 0 ? priorAnswers : 0
  const mean = before === 0 ? (prior > 0 ? self.typical : elapsed) : Math.abs(before)
  const after = mean + (elapsed - mean) * Math.max(1 / (count + prior), 1 - kept, 1 / options.memory)
  return count < options.answersToKnow ? -after : after
}

const priorAnswers = 2

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
  mark(self, slot, troubled, true)
  return atLeast
}

/** Takes note of what went wrong, and forgets it with what goes well. */
const judge = (self: Load, slot: number, outcome: Outcome, since: number, now: number): void => {
  const { cold, options } = self
  const base = slot * coldStride
  const gain = 1 / options.failureMemory
  const rate = cold[base + failing] * decay(since / options.failureTau)
  cold[base + failing] = rate
  switch (outcome._tag) {
    case "Interrupted":
      return
    case "PushedBack":
      if (outcome.retryAfter !== undefined) {
        const until = now + Math.min(outcome.retryAfter, options.maxPushBack)
        cold[base + pushedBackUntil] = Math.max(cold[base + pushedBackUntil], until)
        mark(self, slot, pushedBack, true)
      }
      cold[base + failing] = rate + (1 - rate) * gain
      return mark(self, slot, troubled, true)
    case "Succeeded":
      cold[base + streak] = 0
      cold[base + unanswered] = 0
      cold[base + failing] = rate - rate * gain
      return forgive(self, slot, now)
    default: {
      observe(self, slot * hotStride, now)
      cold[base + windowFailures] += self.growth
      self.failures += self.growth
      const length = ++cold[base + streak]
      const sure = outcome._tag === "Refused" ? 1 / 2 : Math.min(1 / 2, gain * 2 ** Math.min(length - 1, 10))
      cold[base + failing] = rate + (1 - rate) * sure
      return mark(self, slot, troubled, true)
    }
  }
}

/** Takes the marks away that have nothing to say any more. */
const forgive = (self: Load, slot: number, now: number): void => {
  const base = slot * coldStride
  if (self.cold[base + failing] < forgotten) {
    self.cold[base + failing] = 0
    mark(self, slot, troubled, false)
  }
  if (self.cold[base + pushedBackUntil] <= now) mark(self, slot, pushedBack, false)
  if (self.cold[base + warmAt] <= now) mark(self, slot, warming, false)
  if (self.cold[base + answers] > self.options.memory) mark(self, slot, young, false)
}

/** A failure rate that changes no choice. */
const forgotten = 1e-6

/**
 * Counts a request in the window. Instead of all counts becoming less with time, what is counted becomes more, which
 * touches one number and not all ("forward decay": Cormode, Shkapenyuk, Srivastava and Xu, 2009).
 */
const observe = (self: Load, base: number, now: number): void => {
  if (now > self.growsAt) grow(self, now)
  self.hot[base + windowRequests] += self.growth
  self.requests += self.growth
}

/** In steps of the window, because growing costs ten times as much as counting. */
const step = 1e-3

const grow = (self: Load, now: number): void => {
  self.growth /= decay((now - self.grownAt) / self.options.window)
  self.grownAt = now
  self.growsAt = now + self.options.window * step
  if (self.growth > largest) countInUnits(self, self.growth)
}

/** Far from where numbers end; reached after 46 windows. */
const largest = 1e20

const countInUnits = (self: Load, unit: number): void => {
  for (let slot = 0; slot < self.slots; slot++) {
    self.hot[slot * hotStride + windowRequests] /= unit
    self.cold[slot * coldStride + windowFailures] /= unit
  }
  self.requests /= unit
  self.failures /= unit
  self.growth = 1
}

/**
 * Forgets the failures of an instance that proved to be well. That proof is the first answer of its new life, in which
 * it is not known to be faster than the others.
 *
 * @category combinators
 * @since 0.1.0
 */
export const pardon = (self: Load, slot: number, elapsed: number, now: number): void => {
  const base = slot * hotStride
  self.hot[base + expected] = 0
  findTypical(self, now)
  const isWarm = self.answersWhileCold >= self.options.answersToWarm
  if (isWarm) self.hot[base + expected] = -Math.max(elapsed, self.typical)
  self.cold[slot * coldStride + answers] = Number(isWarm)
  self.hot[base + windowRequests] = 0
  self.cold.fill(0, slot * coldStride, slot * coldStride + pushedBackUntil + 1)
  mark(self, slot, troubled + pushedBack, false)
  mark(self, slot, young, true)
}

/**
 * Ends the row of failures of an instance that was seen to be well, though not by a request.
 *
 * @category combinators
 * @since 0.1.0
 */
export const endStreak = (self: Load, slot: number): void => {
  self.cold[slot * coldStride + streak] = 0
}

/**
 * Warms an instance up from the share `floor` at `since` to its full share at `until`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const warm = (self: Load, slot: number, since: number, until: number, floor: number): void => {
  const base = slot * coldStride
  self.cold[base + warmAt] = until
  self.cold[base + warmRate] = (1 - floor) / (until - since)
  mark(self, slot, warming, true)
}

/**
 * The share of its full share that an instance should get: 1 once it is warm.
 *
 * @category getters
 * @since 0.1.0
 */
export const warmth = (self: Load, slot: number, now: number): number => {
  if (isPlain(self, slot)) return 1
  const base = slot * coldStride
  const remaining = self.cold[base + warmAt] - now
  return remaining <= 0 ? 1 : 1 - remaining * self.cold[base + warmRate]
}

/**
 * Whether enough is known of the latency of an instance to compare it with others.
 *
 * @category getters
 * @since 0.1.0
 */
export const isKnown = (self: Load, slot: number): boolean => self.hot[slot * hotStride + expected] > 0

/**
 * What it would cost to send one more request to `one` rather than to `other`, and the other way round, into `costs`: a
 * pair of numbers that a call returns would be an object for every request.
 *
 * Where their latencies are the same within the noise, that is its `pressure` alone: latency is an estimate, while what
 * is in flight is known exactly. Else it is latency × (in flight + 1) / (usually in flight + 1), raised by failures and
 * push-back. An instance takes as long as it does *with* what it usually has in flight, so only what is beyond that
 * makes it slower: by Little's law the quotient is what the next answer will take. A product of latency and requests in
 * flight would send every sixth request to one that is six times slower while the fast ones have six workers each.
 *
 * What is typical of the others is expected of an instance whose latency is not known, but never more than of its rival:
 * it is given the chance to become known.
 *
 * @category getters
 * @since 0.1.0
 */
export const compare = (self: Load, one: number, other: number, now: number, costs: Recent.Costs): void => {
  if (comparePlain(self, one, other, now, costs)) return
  const { costOfOne: latency, costOfOther: rivals } = expect(self, one, other, now, costs)
  const isTie = isSame(self, latency, rivals)
  costs.costOfOne = isTie ? pressure(self, one, now) : costOf(self, one, latency, now)
  costs.costOfOther = isTie ? pressure(self, other, now) : costOf(self, other, rivals, now)
}

/**
 * The same where both are plain; else it says that they are not, and does nothing.
 *
 * It does not go on to look closely itself, because V8 inlines only so much into a pick, and what it inlined here while
 * this client was cold would count for good.
 *
 * @category getters
 * @since 0.1.0
 */
export const comparePlain = (self: Load, one: number, other: number, now: number, costs: Recent.Costs): boolean => {
  const { hot, inFlight: ofAll, jitter, perTau, tolerance, totalWeight } = self
  const first = one * hotStride
  const second = other * hotStride
  const latency = jitter + hot[first + expected] * decay((now - hot[first + updatedAt]) * perTau)
  const rivals = jitter + hot[second + expected] * decay((now - hot[second + updatedAt]) * perTau)
  const own = hot[first + plainWeight]
  const rivalsWeight = hot[second + plainWeight]
  if (own * rivalsWeight === 0) return false
  const busy = hot[first + inFlight] + 1
  const rivalsBusy = hot[second + inFlight] + 1
  if (latency <= rivals * tolerance && rivals <= latency * tolerance) {
    const perWeight = ofAll / totalWeight
    costs.costOfOne = busy / (perWeight * own + 1)
    costs.costOfOther = rivalsBusy / (perWeight * rivalsWeight + 1)
  } else {
    costs.costOfOne = (latency * busy) / (hot[first + usual] + 1)
    costs.costOfOther = (rivals * rivalsBusy) / (hot[second + usual] + 1)
  }
  return true
}

/**
 * How many requests are usually in flight there.
 *
 * @category getters
 * @since 0.1.0
 */
export const usuallyInFlight = (self: Load, slot: number): number => self.hot[slot * hotStride + usual]

/**
 * What it would cost to send one more request there rather than to any instance of another latency: what the next answer
 * is thought to take, raised by failures and push-back.
 *
 * @category getters
 * @since 0.1.0
 */
export const costAlone = (self: Load, slot: number, now: number): number =>
  costOf(self, slot, latency(self, slot, now), now)

const costOf = (self: Load, slot: number, ofAnswer: number, now: number): number =>
  ((ofAnswer * (requestsInFlight(self, slot) + 1)) / (usuallyInFlight(self, slot) + 1)) * handicap(self, slot, now)

/**
 * Whether two instances take equally long, within the noise.
 *
 * @category getters
 * @since 0.1.0
 */
export const isAlike = (self: Load, one: number, other: number, now: number): boolean => {
  const { costOfOne, costOfOther } = expect(self, one, other, now, latencies)
  return isSame(self, costOfOne, costOfOther)
}

const latencies = Recent.costs()

const isSame = ({ tolerance }: Load, one: number, other: number): boolean =>
  one <= other * tolerance && other <= one * tolerance

/** The latencies of two that are compared with each other, in place of their costs. */
const expect = (self: Load, one: number, other: number, now: number, costs: Recent.Costs): Recent.Costs => {
  const ofOne = projected(self, one, now)
  const ofOther = projected(self, other, now)
  costs.costOfOne = self.jitter + (ofOne > 0 ? ofOne : guess(self, ofOther, now))
  costs.costOfOther = self.jitter + (ofOther > 0 ? ofOther : guess(self, ofOne, now))
  return costs
}

/** The latency by now; not positive where it is not known. */
const projected = (self: Load, slot: number, now: number): number => {
  const base = slot * hotStride
  return self.hot[base + expected] * decay((now - self.hot[base + updatedAt]) / tauOf(self, slot))
}

const guess = (self: Load, ofRival: number, now: number): number => {
  const typical = typicalLatency(self, now)
  return ofRival > 0 ? Math.min(typical, ofRival) : typical
}

/** The time constant with which its latency is forgotten. */
const tauOf = (self: Load, slot: number): number =>
  isUntried(self, slot) ? tauOfUntried(self, slot) : self.options.tau

/** Whether all that is known of it are a few answers. */
const isUntried = ({ cold }: Load, slot: number): boolean =>
  (cold[slot * coldStride + marks] & (young + troubled)) === young

/**
 * What few answers said is forgotten sooner, so that an instance is not avoided for long because of how it was when it
 * was cold; but not within the next requests, or too many of them would find out how it is now.
 */
const tauOfUntried = ({ cold, growth, options, requests }: Load, slot: number): number => {
  const soonest = (options.requestsToForget * options.window * growth) / Math.max(requests, growth)
  return Math.min(options.tau, Math.max(options.tau * (cold[slot * coldStride + answers] / options.memory), soonest))
}

/** How many requests an instance had in flight if all were spread by weight. */
const fairShare = (self: Load, slot: number): number => {
  const own = self.cold[slot * coldStride + weight]
  return own === 0 ? 0 : (self.inFlight * own) / self.totalWeight
}

/**
 * How long an answer is thought to take, in milliseconds; what is typical of the others as long as nothing is known.
 *
 * @category getters
 * @since 0.1.0
 */
export const latency = (self: Load, slot: number, now: number): number => {
  const known = projected(self, slot, now)
  return known > 0 ? known : typicalLatency(self, now)
}

/**
 * How busy and how broken an instance is, whatever its latency: (in flight + 1), raised by failures and push-back.
 *
 * In flight is relative to what this instance would have if all were spread by weight, so that the shares stay what the
 * weights say.
 *
 * @category getters
 * @since 0.1.0
 */
export const pressure = (self: Load, slot: number, now: number): number => {
  const busy = (requestsInFlight(self, slot) + 1) / (fairShare(self, slot) + 1)
  return isPlain(self, slot) ? busy : busy * handicap(self, slot, now)
}

/**
 * How many times as much an instance costs because of failures and push-back: 1 for one without.
 *
 * Failures divide by the eighth power of the success rate, and a quarter more than nothing is still nothing: 1 % of
 * errors costs 8 %, which is noise; a streak of two costs 4 times as much, of three 40 times, of four 10 000 times.
 *
 * @category getters
 * @since 0.1.0
 */
export const handicap = (self: Load, slot: number, now: number): number => {
  const success = Math.max(0.05, 1 - failureRate(self, slot, now))
  const squared = success * success
  const fourth = squared * squared
  return (isPushedBack(self, slot, now) ? pushBackFactor : 1) * Math.max(1, 0.8 / (fourth * fourth))
}

/** An instance that asked to be left alone loses against any other that is not quite broken itself. */
const pushBackFactor = 1000

/**
 * The share of the latest requests that failed, from 0 to 1; forgotten with time.
 *
 * @category getters
 * @since 0.1.0
 */
export const failureRate = (self: Load, slot: number, now: number): number =>
  has(self, slot, troubled)
    ? self.cold[slot * coldStride + failing] *
      decay((now - self.hot[slot * hotStride + updatedAt]) / self.options.failureTau)
    : 0

/**
 * Whether the instance asked to be left alone until later than now.
 *
 * @category getters
 * @since 0.1.0
 */
export const isPushedBack = (self: Load, slot: number, now: number): boolean =>
  has(self, slot, pushedBack) && self.cold[slot * coldStride + pushedBackUntil] > now

/**
 * For how many milliseconds more the instance asked to be left alone.
 *
 * @category getters
 * @since 0.1.0
 */
export const pushedBackFor = (self: Load, slot: number, now: number): number =>
  isPushedBack(self, slot, now) ? self.cold[slot * coldStride + pushedBackUntil] - now : 0

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
export const weightOf = (self: Load, slot: number): number =>
  has(self, slot, gone) ? -1 : self.cold[slot * coldStride + weight]

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
  const requests = self.hot[slot * hotStride + windowRequests] / self.growth
  const failures = self.cold[base + windowFailures] / self.growth
  return {
    streak: self.cold[base + streak],
    requests,
    successRate: rateOf(requests, failures),
    successRateOfOthers: rateOf(self.requests / self.growth - requests, self.failures / self.growth - failures)
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

/** How long an answer of any of the instances is thought to take, in milliseconds. */
const typicalLatency = ({ options, typical, typicalAt }: Load, now: number): number =>
  typical === 0 ? options.firstEstimate : typical * decay((now - typicalAt) / options.tau)

/**
 * How long an answer of any instance but this took when they were last heard of, in milliseconds: nothing is forgotten
 * while nothing is asked.
 *
 * @category getters
 * @since 0.1.0
 */
export const usualLatency = (self: Load, except: number): number =>
  median(self, (slot) => self.hot[slot * hotStride + expected], except) || self.options.firstEstimate

/** For how long what was typical is taken for what is, in milliseconds. */
const typicalFor = 1000

/** So many measurements are enough for a median. */
const sampled = 64

const findTypical = (self: Load, now: number): void => {
  self.typical = median(self, (slot) => projected(self, slot, now))
  self.typicalAt = now
}

/** The (lower) median of what was measured, from an even sample of the slots; 0 when nothing was. */
const median = (self: Load, latencyOf: (slot: number) => number, except?: number): number => {
  const stride = Math.max(1, Math.floor(self.slots / sampled))
  const measured: Array<number> = []
  for (let slot = 0; slot < self.slots; slot += stride) {
    if (slot !== except && isKnown(self, slot) && !has(self, slot, gone)) measured.push(latencyOf(slot))
  }
  measured.sort((a, b) => a - b)
  return measured[(measured.length - 1) >> 1] ?? 0
}
