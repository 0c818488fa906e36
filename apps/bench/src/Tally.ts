/**
 * What one client's requests came to, act by act: evidence as the story takes it down, and in which act each order was
 * placed, so that an order that the servers executed twice is found again.
 */
import { Evidence } from "../../demo/src/story/Evidence.ts"
import type * as Traffic from "../../demo/src/Traffic.ts"

export class Tally extends Evidence {
  readonly name: string
  readonly #actOf = new Map<string, string>()
  #act = ""

  constructor(name: string) {
    super((address) => address)
    this.name = name
  }

  override begin(act: string, pickable: number): void {
    this.#act = act
    super.begin(act, pickable)
  }

  override due(errand: Traffic.Errand): void {
    this.#actOf.set(errand.order, this.#act)
    super.due(errand)
  }

  /** How many requests of an act failed, or placed one of these orders, which were executed twice. */
  broken(act: string, repeated: ReadonlyArray<string>): number {
    const failed = this.phases.find(({ name }) => name === act)?.failed ?? NaN
    return failed + repeated.filter((order) => this.#actOf.get(order) === act).length
  }
}
