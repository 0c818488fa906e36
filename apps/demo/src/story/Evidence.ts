/**
 * Takes down what happens while the story is told, phase by phase, and judges nothing: that is `Report`'s part.
 *
 * A request belongs to the phase in which it was due. One that never got an answer failed. A server counts as dying
 * from the moment it is killed until its end is seen: an order on its way there then is lost, not failed.
 */
import { Figures } from "../Figures.ts"
import type * as Traffic from "../Traffic.ts"
import type { PhaseReport } from "./Report.ts"

interface Phase {
  readonly name: string
  readonly figures: Figures
  failedOrders: number
  minPickable: number
}

interface Open {
  readonly phase: Phase
  readonly errand: Traffic.Errand
}

export class Evidence implements Traffic.Listener {
  readonly #phases: Array<Phase> = []
  readonly #open = new Map<number, Open>()
  readonly #onDyingServer = new Set<Traffic.Errand>()
  readonly #problems: Array<string> = []
  readonly #nameOf: (address: string) => string
  readonly #dying = new Set<string>()
  /** The answers since the last look. */
  recent = new Figures()
  lostInKill = 0
  removedWhileServing = 0

  constructor(nameOf: (address: string) => string) {
    this.#nameOf = nameOf
  }

  begin(name: string, pickable: number): void {
    this.#phases.push({ name, figures: new Figures(), failedOrders: 0, minPickable: pickable })
    this.look()
  }

  pickable(count: number): void {
    const phase = this.#phases.at(-1)
    if (phase !== undefined) phase.minPickable = Math.min(phase.minPickable, count)
  }

  due(errand: Traffic.Errand): void {
    const phase = this.#phases.at(-1)
    if (phase === undefined) return
    phase.figures.requests++
    this.#open.set(errand.sequence, { phase, errand })
  }

  sent(errand: Traffic.Errand, address: string): void {
    if (this.#dying.has(address) && errand.kind === "place") this.#onDyingServer.add(errand)
  }

  done(errand: Traffic.Errand, latencyMs: number, problem: string | undefined): void {
    const open = this.#open.get(errand.sequence)
    if (open === undefined) return
    this.#open.delete(errand.sequence)
    const { figures } = open.phase
    if (errand.addresses.length > 1) figures.retried++
    if (problem === undefined) {
      const instance = this.#nameOf(errand.addresses.at(-1) ?? "")
      figures.answered(instance, latencyMs)
      this.recent.answered(instance, latencyMs)
    } else if (this.#onDyingServer.has(errand)) {
      this.lostInKill++
    } else {
      figures.failed++
      if (errand.kind === "place") open.phase.failedOrders++
      this.#problems.push(`${errand.kind} ${errand.sequence} in ${open.phase.name}: ${problem}`)
    }
  }

  /** The server at this address is about to be killed; answers with how many orders are on their way to it. */
  killing(address: string): number {
    this.#dying.add(address)
    const orders = [...this.#open.values()].filter(
      ({ errand }) => errand.kind === "place" && errand.addresses.at(-1) === address
    )
    for (const { errand } of orders) this.#onDyingServer.add(errand)
    return orders.length
  }

  /** The server at this address is dead for sure. */
  killed(address: string): void {
    this.#dying.delete(address)
  }

  /** Whether every request has been answered or has failed. */
  get isComplete(): boolean {
    return this.#open.size === 0
  }

  /** Starts to collect recent answers anew. */
  look(): void {
    this.recent = new Figures()
  }

  /** What was due and never came to an end has failed. */
  close(): void {
    for (const { errand } of this.#open.values()) this.done(errand, 0, "it was never answered")
  }

  get phases(): ReadonlyArray<PhaseReport> {
    return this.#phases.map(({ name, figures, failedOrders, minPickable }) => ({
      name,
      requests: figures.requests,
      failed: figures.failed,
      failedOrders,
      retried: figures.retried,
      minPickable,
      shares: Object.fromEntries(figures.shares.map(([instance, share]) => [instance, rounded(share, 3)])),
      p50Ms: rounded(figures.latency(0.5) ?? 0, 1),
      p99Ms: rounded(figures.latency(0.99) ?? 0, 1)
    }))
  }

  /** Why requests failed, in the order in which they did. */
  get problems(): ReadonlyArray<string> {
    return this.#problems
  }
}

const rounded = (n: number, digits: number) => Math.round(n * 10 ** digits) / 10 ** digits
