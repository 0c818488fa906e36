/**
 * Random numbers of one seed, and the distributions that the world draws from.
 */
export { seeded as make } from "../../../packages/core/test/fixtures/seeded.ts"

export type Random = () => number

/** How much work a request is, relative to the mean, which is 1. */
export type Size = (random: Random) => number

/** A memoryless size: the 99th percentile is 6.6 times the median. */
export const exponential: Size = (random) => -Math.log(1 - random())

/** Every request about the same work: the mean ± 10 %. */
export const narrow: Size = (random) => 0.9 + 0.2 * random()
