/**
 * How long an answer takes at most, for a given share of the answers: a running estimate in three numbers.
 *
 * Stochastic approximation (Robbins and Monro, 1951) of the logarithm: a value above the estimate raises it by `share`
 * of a step, one below lowers it by the rest of the step, so it comes to rest where `share` of the values are below. It
 * asks of a value only whether it is above, so an answer that was not waited for any longer counts as well as one that
 * came. Until there are enough values there is no estimate; their maximum is the first one.
 */

/**
 * The running estimate of one quantile.
 *
 * @category models
 * @since 0.1.0
 */
export interface Quantile {
  /** The share of values below, between 0 and 1. */
  readonly share: number
  seen: number
  estimate: number
}

/**
 * Nothing seen yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (share: number): Quantile => ({ share, seen: 0, estimate: 0 })

/** How far one value moves the estimate at most: it settles to about a tenth, and doubles within 15 values. */
const step = 0.05

/**
 * Takes note of a value above 0; `isWhole` says no if it would have become greater had anybody waited.
 *
 * @category combinators
 * @since 0.1.0
 */
export const observe = (self: Quantile, value: number, isWhole: boolean): void => {
  const isAbove = value > self.estimate
  if (!isWhole && !isAbove) return
  if (isKnown(self)) self.estimate *= Math.exp(step * (isAbove ? self.share : self.share - 1))
  else self.estimate = Math.max(self.estimate, value)
  self.seen++
}

/**
 * The estimate, or `undefined` as long as too little was seen for one: 20 values for 95 %.
 *
 * @category getters
 * @since 0.1.0
 */
export const get = (self: Quantile): number | undefined => (isKnown(self) ? self.estimate : undefined)

const isKnown = ({ seen, share }: Quantile): boolean => seen * (1 - share) >= 1
