/**
 * Latencies in buckets of half a percent, so that the runs of many seeds are pooled by adding.
 */

export type Histogram = Uint32Array

const growth = Math.log(1.005)
const least = 0.01
const buckets = 4096

export const make = (): Histogram => new Uint32Array(buckets)

export const record = (self: Histogram, latency: number): void => {
  self[latency <= least ? 0 : Math.min(buckets - 1, Math.ceil(Math.log(latency / least) / growth))]++
}

export const add = (self: Histogram, that: Histogram): void => {
  for (let bucket = 0; bucket < buckets; bucket++) self[bucket] += that[bucket]
}

/** The latency that this share of the answers did not exceed, in milliseconds; 0 of none. */
export const quantile = (self: Histogram, share: number): number => {
  let total = 0
  for (const count of self) total += count
  if (total === 0) return 0
  let rest = Math.ceil(share * total)
  let bucket = 0
  for (; bucket < buckets - 1; bucket++) {
    rest -= self[bucket]
    if (rest <= 0) break
  }
  return least * Math.exp(growth * (bucket - 0.5))
}
