/**
 * What was measured, and what the gates say of it, as text.
 */
import type { Verdict } from "./Gates.ts"
import * as Histogram from "./Histogram.ts"
import { errorRate, type Measured, p99OfAll } from "./Measured.ts"

/** One line for each policy, size and number of clients; a figure shows its worst and its best seed. */
export const measured = (rows: ReadonlyArray<Measured>): string => {
  const figures = Object.keys(rows[0]?.figures ?? {})
  return aligned([
    ["n", "clients", "policy", "p50", "p99", "p99 of all", "p99.9", "errors", "retries", ...figures],
    ...rows.map((row) => [
      String(row.n),
      String(row.clients),
      row.policy,
      milliseconds(Histogram.quantile(row.latencies, 0.5)),
      milliseconds(Histogram.quantile(row.latencies, 0.99)),
      milliseconds(p99OfAll(row)),
      milliseconds(Histogram.quantile(row.latencies, 0.999)),
      percent(errorRate(row)),
      percent(row.retries / row.requests),
      ...figures.map((name) => range(row.figures[name] ?? []))
    ])
  ])
}

export const verdicts = (all: ReadonlyArray<Verdict>): string =>
  aligned([
    ["", "scenario", "n", "clients", "gate", "value", "bar"],
    ...all.map(({ ok, scenario, n, clients, gate, value, bar }) => [
      ok ? "✓" : "✗",
      scenario,
      String(n),
      String(clients),
      gate,
      String(value),
      String(bar)
    ])
  ])

const range = (values: ReadonlyArray<number>): string => {
  const [low, high] = [Math.min(...values), Math.max(...values)].map((value) => String(Number(value.toPrecision(3))))
  return low === high ? low : `${low} … ${high}`
}

const milliseconds = (value: number) => value.toFixed(value < 10 ? 1 : 0)

const percent = (share: number) => `${(100 * share).toFixed(2)} %`

const aligned = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = rows.reduce<ReadonlyArray<number>>(
    (widest, row) => row.map((cell, column) => Math.max(cell.length, widest[column] ?? 0)),
    []
  )
  return rows
    .map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "))
    .map((line) => line.trimEnd())
    .join("\n")
}
