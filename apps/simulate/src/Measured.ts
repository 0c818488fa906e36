/**
 * One policy in one scenario, over all seeds: pooled latencies and errors, and the figures of each seed.
 */
import { deadline, run } from "./Engine.ts"
import * as Histogram from "./Histogram.ts"
import { policies } from "./policies.ts"
import type { Scenario } from "./Scenario.ts"

/** What is to be measured. */
export interface Case {
  readonly scenario: string
  readonly policy: string
  readonly n: number
  readonly clients: number
  readonly seeds: ReadonlyArray<number>
}

export interface Measured extends Case {
  readonly latencies: Histogram.Histogram
  readonly requests: number
  readonly errors: number
  readonly retries: number
  readonly figures: Readonly<Record<string, ReadonlyArray<number>>>
  /** What s0 was sent relative to an even share, by second, of the first seed. */
  readonly shares: ReadonlyArray<number>
  readonly milliseconds: number
}

export const measure = (scenario: Scenario, what: Case): Measured => {
  const latencies = Histogram.make()
  const figures: Record<string, Array<number>> = {}
  let [requests, errors, retries] = [0, 0, 0]
  let shares: ReadonlyArray<number> = []
  const since = process.cpuUsage().user
  for (const seed of what.seeds) {
    const result = run(scenario.scene(what.n, what.clients, what.policy), policies[what.policy], seed)
    Histogram.add(latencies, result.latencies)
    requests += result.requests
    errors += result.errorCount
    retries += result.retries
    for (const [name, figure] of Object.entries(scenario.figures ?? {})) {
      figures[name] = [...(figures[name] ?? []), figure(result, what.n)]
    }
    if (shares.length > 0) continue
    shares = Array.from(result.sent[0], (sent, second) => {
      const all = result.sent.reduce((sum, seconds) => sum + seconds[second], 0)
      return all === 0 ? 0 : (sent * result.sent.length) / all
    })
  }
  return {
    ...what,
    latencies,
    requests,
    errors,
    retries,
    figures,
    shares,
    milliseconds: (process.cpuUsage().user - since) / 1000
  }
}

/** The share of the requests that had no answer. */
export const errorRate = ({ errors, requests }: Measured): number => errors / requests

/** The latency that 99 % of the answered requests did not exceed. */
export const p99 = ({ latencies }: Measured): number => Histogram.quantile(latencies, 0.99)

/** The same of all requests, where one without an answer counts as long as the deadline: no policy shines by losing some. */
export const p99OfAll = ({ latencies, errors, requests }: Measured): number => {
  const answeredShare = (0.99 * requests) / (requests - errors)
  return answeredShare > 1 ? deadline : Histogram.quantile(latencies, answeredShare)
}

/** The same case over the seeds of both. */
export const merge = (self: Measured, that: Measured): Measured => {
  const latencies = self.latencies.slice()
  Histogram.add(latencies, that.latencies)
  const figures = Object.fromEntries(
    Object.entries(self.figures).map(([name, values]) => [name, [...values, ...(that.figures[name] ?? [])]])
  )
  return {
    ...self,
    seeds: [...self.seeds, ...that.seeds],
    latencies,
    requests: self.requests + that.requests,
    errors: self.errors + that.errors,
    retries: self.retries + that.retries,
    figures,
    milliseconds: self.milliseconds + that.milliseconds
  }
}

export const keyOf = ({ scenario, policy, n, clients }: Case): string => `${scenario} ${n} ${clients} ${policy}`
