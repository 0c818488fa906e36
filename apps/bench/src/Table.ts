/**
 * The rows for a person: as aligned text for a terminal, or as Markdown with what it was measured on, for the README.
 */
import { DateTime, Effect } from "effect"
import { cpus, totalmem, type } from "node:os"
import type { Row } from "./Row.ts"

const heads = ["", "id", "case", "value", "against", "ratio", "bar"]

const cells = ({ ok, id, case: what, value, against, unit, ratio, bar }: Row): ReadonlyArray<string> => [
  bar === null ? " " : ok ? "✓" : "✗",
  id,
  what,
  `${value} ${unit}`,
  `${against} ${unit}`,
  ratio === Number.MAX_VALUE ? "∞" : String(ratio),
  bar === null ? "–" : `≤ ${Math.round(bar * 1000) / 1000}`
]

export const text = (rows: ReadonlyArray<Row>): string => {
  const lines = [heads, ...rows.map(cells)]
  const widths = heads.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

/** The table below one sentence: when, by which command and on what it was measured. */
export const markdown = (rows: ReadonlyArray<Row>, command: string): Effect.Effect<string> =>
  Effect.map(DateTime.now, (now) => {
    const table = [line(heads), line(heads.map(() => "---")), ...rows.map((row) => line(cells(row)))]
    return [`Measured on ${DateTime.formatIsoDateUtc(now)} by \`${command}\` on ${machine()}.`, "", ...table].join("\n")
  })

const line = (cells: ReadonlyArray<string>) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`

const machine = () => {
  const processors = cpus()
  const model = processors[0]?.model.trim() ?? "unknown"
  const gigabytes = Math.round(totalmem() / 2 ** 30)
  return `${processors.length} × ${model}, ${gigabytes} GB, ${type()}, Node ${process.versions.node}`
}
