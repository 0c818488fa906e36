/**
 * How many retries and hedges one client may add to a service's requests: a share of them and a few per second.
 *
 * Both are counted with exponential decay over `window`, so the budget has no edges to wait for and a few numbers of
 * state. At a steady rate it allows `ratio` of the requests plus `perSecond`; after a quiet time, at most
 * `perSecond` × `window` at once. A retry storm dies out because what was withdrawn comes back only with time, and
 * because the few per second are granted only to the extent to which attempts succeed: otherwise twenty clients that
 * each ask little would retry as much as they ask, and keep servers down that a moment of overload took down.
 */

/**
 * `ratio` of the requests plus `perSecond`, over `window` in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly ratio: number
  readonly perSecond: number
  readonly window: number
}

/**
 * What was asked and what was retried lately.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryBudget {
  readonly options: Options
  requests: number
  retries: number
  /** How often a retry was asked for, granted or not: how many attempts failed. */
  asked: number
  at: number
}

/**
 * A full budget.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): RetryBudget => ({ options, requests: 0, retries: 0, asked: 0, at: 0 })

/**
 * Counts a request, not a retry, towards the budget.
 *
 * @category combinators
 * @since 0.1.0
 */
export const deposit = (self: RetryBudget, now: number): void => {
  decayTo(self, now)
  self.requests++
}

/**
 * Takes one retry out of the budget, or says no.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withdraw = (self: RetryBudget, now: number): boolean => {
  decayTo(self, now)
  const { ratio, perSecond, window } = self.options
  const succeeding = Math.max(0, 1 - self.asked / (self.requests + self.retries + 1))
  self.asked++
  if (self.retries + 1 > self.requests * ratio + (perSecond * succeeding * window) / 1000) return false
  self.retries++
  return true
}

/**
 * Puts a retry back that was granted and not made, because there was nobody to send it to.
 *
 * @category combinators
 * @since 0.1.0
 */
export const putBack = (self: RetryBudget): void => {
  self.asked--
  self.retries--
}

const decayTo = (self: RetryBudget, now: number): void => {
  const factor = Math.exp((self.at - now) / self.options.window)
  self.requests *= factor
  self.retries *= factor
  self.asked *= factor
  self.at = now
}
