/**
 * How one of the candidates is chosen: pure functions of the candidates, what was measured, and random numbers.
 *
 * A policy takes constant time, allocates nothing, and reads health from the candidates: what is ejected is not among
 * them. Weight acts on the probability of being sampled. Warm-up acts on the probability that the choice stands, so that
 * a cold instance is not flooded even where there are only two to sample from.
 *
 * One policy is one file in `pick/` and one line here; everything that this module exports is a policy.
 */
import type * as Candidates from "./Candidates.ts"
import type * as Load from "./Load.ts"

/**
 * Chooses a slot; there is at least one candidate. `key` says which requests belong together, where somebody said so.
 *
 * @category models
 * @since 0.1.0
 */
export type Policy = (
  candidates: Candidates.Candidates,
  load: Load.Load,
  now: number,
  random: () => number,
  key?: string | undefined
) => number

export * from "./pick/hotCold.ts"
export * from "./pick/leastLoaded.ts"
export * from "./pick/p2c.ts"
export * from "./pick/ringHash.ts"
export * from "./pick/roundRobin.ts"
export * from "./pick/smoothRoundRobin.ts"
export * from "./pick/weightedRandom.ts"
