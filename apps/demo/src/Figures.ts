/**
 * What a number of requests came to: how many, how many failed or were retried, who answered, how long it took.
 */
export class Figures {
  requests = 0
  failed = 0
  retried = 0
  readonly answeredBy = new Map<string, number>()
  readonly #latencies: Array<number> = []

  answered(instance: string, latencyMs: number): void {
    this.answeredBy.set(instance, (this.answeredBy.get(instance) ?? 0) + 1)
    this.#latencies.push(latencyMs)
  }

  get answers(): number {
    return this.#latencies.length
  }

  /** The share of the answers that each instance gave, by its id. */
  get shares(): ReadonlyArray<readonly [instance: string, share: number]> {
    return [...this.answeredBy]
      .map(([instance, answers]) => [instance, answers / this.answers] as const)
      .toSorted(([a], [b]) => a.localeCompare(b))
  }

  /** The smallest latency that the share `q` of the answers did not exceed (nearest rank), in milliseconds. */
  latency(q: number): number | undefined {
    const sorted = this.#latencies.toSorted((a, b) => a - b)
    return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]
  }
}
