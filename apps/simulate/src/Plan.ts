/**
 * Which cases a comparison is made of, in pieces of a few seconds, the longest first.
 */
import type { Case } from "./Measured.ts"
import { compared, judged } from "./policies.ts"
import type { Scenario } from "./Scenario.ts"
import { scenarios } from "./scenarios.ts"

export interface Choice {
  readonly scenarios: ReadonlyArray<Scenario>
  /** By default all that are compared. */
  readonly policies?: ReadonlyArray<string> | undefined
  /** By default as many seeds as the scenario asks for, from 0 on. */
  readonly seeds?: ReadonlyArray<number> | undefined
  readonly sizes?: ReadonlyArray<number> | undefined
}

export const plan = ({ scenarios: chosen, policies, seeds, sizes }: Choice): ReadonlyArray<Case> => {
  const cases = chosen.flatMap((scenario) =>
    scenario.sizes
      .filter((n) => sizes?.includes(n) ?? true)
      .flatMap((n) =>
        scenario.clients.flatMap((clients) =>
          (policies ?? policiesOf(scenario)).flatMap((policy) =>
            pieces(seeds ?? Array.from({ length: scenario.seeds }, (_, seed) => seed), n).map((piece) => ({
              case: { scenario: scenario.name, policy, n, clients, seeds: piece },
              work: requests(scenario, n, clients, policy) * piece.length
            }))
          )
        )
      )
  )
  return cases.toSorted((a, b) => b.work - a.work).map(({ case: what }) => what)
}

const policiesOf = (scenario: Scenario): ReadonlyArray<string> =>
  scenario.rivals === undefined || scenario.oracle ? compared : [judged, ...scenario.rivals]

/** How many requests these cases are, about. */
export const workOf = (cases: ReadonlyArray<Case>): number =>
  cases.reduce((sum, { clients, n, policy, scenario: name, seeds }) => {
    const scenario = scenarios.find((one) => one.name === name)
    return scenario === undefined ? sum : sum + requests(scenario, n, clients, policy) * seeds.length
  }, 0)

const requests = (scenario: Scenario, n: number, clients: number, policy: string): number => {
  const { rates, seconds } = scenario.scene(n, clients, policy)
  return (rates.reduce((a, b) => a + b, 0) / rates.length) * seconds
}

/** At most five seeds at once, fewer where many servers make each a long one. */
const pieces = (seeds: ReadonlyArray<number>, n: number): ReadonlyArray<ReadonlyArray<number>> => {
  const size = n >= 10 ? 2 : 10
  return Array.from({ length: Math.ceil(seeds.length / size) }, (_, piece) =>
    seeds.slice(piece * size, (piece + 1) * size)
  )
}
