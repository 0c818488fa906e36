/**
 * One measured figure and what it is held against: a peer or a limit measured in the same run.
 *
 * The ratio is `value / against`, and of nothing against nothing 0; a row with a bar is ok when its ratio does not exceed it, one without only informs.
 */
import { Schema } from "effect"

export const Row = Schema.Struct({
  /** The line of the cost table that it answers. */
  id: Schema.String,
  case: Schema.String,
  value: Schema.Finite,
  unit: Schema.String,
  /** The figure of the peer or the limit, in the same unit. */
  against: Schema.Finite,
  ratio: Schema.Finite,
  bar: Schema.NullOr(Schema.Finite),
  ok: Schema.Boolean
})

export type Row = typeof Row.Type

export const make = (row: {
  readonly id: string
  readonly case: string
  readonly value: number
  readonly unit: string
  readonly against: number
  readonly bar?: number
}): Row => {
  const ratio = row.against === 0 ? (row.value === 0 ? 0 : Number.MAX_VALUE) : row.value / row.against
  const bar = row.bar ?? null
  return {
    id: row.id,
    case: row.case,
    value: rounded(row.value),
    unit: row.unit,
    against: rounded(row.against),
    ratio: rounded(ratio),
    bar,
    ok: bar === null || ratio <= bar
  }
}

/** The smallest value that the share `q` of the values does not exceed (nearest rank). */
export const quantile = (values: ReadonlyArray<number>, q: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? NaN
}

const rounded = (n: number) => (n > 1e9 ? n : Math.round(n * 1000) / 1000)
