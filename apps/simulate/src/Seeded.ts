/**
 * Random numbers of one seed, and the distributions that the world draws from.
 */

export type Random = () => number

/** Uniform numbers from 0 to 1, the same for the same seed (Marsaglia's xorshift, seeded by a multiplicative hash). */
export const make = (seed: number): Random => {
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1
  const next = () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 0x1_0000_0000
  }
  for (let warmUp = 0; warmUp < 16; warmUp++) next()
  return next
}

/** How much work a request is, relative to the mean, which is 1. */
export type Size = (random: Random) => number

/** A memoryless size: the 99th percentile is 6.6 times the median. */
export const exponential: Size = (random) => -Math.log(1 - random())

/** Every request about the same work: the mean ± 10 %. */
export const narrow: Size = (random) => 0.9 + 0.2 * random()
