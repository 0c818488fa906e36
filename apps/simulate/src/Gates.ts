/**
 * The gates: what the judged policy must reach in a scenario, by itself, against the oracle and against its rivals.
 */
import { errorRate, type Measured, p99, p99OfAll } from "./Measured.ts"
import { judged, rivals } from "./policies.ts"
import type { Gate, Scenario } from "./Scenario.ts"

export interface Verdict {
  readonly scenario: string
  readonly gate: string
  readonly policy: string
  readonly n: number
  readonly clients: number
  readonly value: number
  readonly bar: number
  readonly ok: boolean
}

/** p99 is at most so many times the oracle's, with one client and with more. */
export const overOracle = (clients: number): number => (clients === 1 ? 1.2 : 1.4)

/** No worse than a rival by more than this, in p99 and errors … */
const worse = 1.05
/** … or than so many errors more: differences of one request in two thousand are no difference. */
const slack = 0.0005

/** The verdicts on one scenario at one size, of the policies that were measured there. */
export const judge = (scenario: Scenario, measured: ReadonlyArray<Measured>): ReadonlyArray<Verdict> => {
  const own = measured.find(({ policy }) => policy === judged)
  if (own === undefined) return []
  const verdict = (gate: string, policy: string, value: number, bar: number, ok = value <= bar): Verdict => ({
    scenario: scenario.name,
    gate,
    policy,
    n: own.n,
    clients: own.clients,
    value: rounded(value),
    bar: rounded(bar),
    ok
  })
  const verdicts = (scenario.gates ?? []).filter(appliesTo(own)).map((gate) => {
    const values = own.figures[gate.figure]
    const value = gate.over === "the mean" ? values.reduce((a, b) => a + b, 0) / values.length : worst(values, gate)
    const bar = gate.atMost ?? gate.atLeast ?? 0
    const text = `${gate.figure} ${gate.atMost === undefined ? "≥" : "≤"}, ${gate.over}`
    return verdict(text, judged, value, bar, gate.atMost === undefined ? value >= bar : value <= bar)
  })
  const oracle = measured.find(({ policy }) => policy === "oracle")
  if (scenario.oracle && oracle !== undefined) {
    verdicts.push(verdict("p99 / the oracle's", judged, p99(own) / p99(oracle), overOracle(own.clients)))
  }
  for (const rival of measured) {
    if (!(scenario.rivals ?? rivals).includes(rival.policy)) continue
    verdicts.push(
      verdict(`p99 / ${rival.policy}'s`, judged, p99OfAll(own) / p99OfAll(rival), worse),
      verdict(`errors, ${rival.policy}'s + 5 %`, judged, errorRate(own), worse * errorRate(rival) + slack)
    )
  }
  return verdicts
}

const appliesTo =
  ({ n, clients }: Measured) =>
  (gate: Gate): boolean =>
    (gate.sizes?.includes(n) ?? true) && (gate.clients ?? [1]).includes(clients)

const worst = (values: ReadonlyArray<number>, gate: Gate) =>
  gate.atMost === undefined ? Math.min(...values) : Math.max(...values)

const rounded = (value: number) => Math.round(value * 1e5) / 1e5
