/**
 * Whether shares are what they should be, as statistics sees it.
 */

/** Pearson's chi-square of counts against shares that sum to 1. */
export const chiSquare = (counts: ReadonlyArray<number>, shares: ReadonlyArray<number>): number => {
  const total = counts.reduce((a, b) => a + b, 0)
  return counts.reduce((sum, count, index) => sum + (count - total * shares[index]) ** 2 / (total * shares[index]), 0)
}

/**
 * What chi-square does not exceed with a probability of 0.999 when the shares are right (Wilson and Hilferty, 1931).
 */
export const critical = (degrees: number): number => {
  const spread = 2 / (9 * degrees)
  return degrees * (1 - spread + 3.0902 * Math.sqrt(spread)) ** 3
}
