/**
 * How figures look in a terminal: bars, shares, times, columns, and colours where there is a terminal to show them.
 */
import { Config, Duration, Effect, Stdio } from "effect"

export interface Paint {
  readonly strong: (text: string) => string
  readonly faint: (text: string) => string
  readonly good: (text: string) => string
  readonly bad: (text: string) => string
  readonly warn: (text: string) => string
  readonly accent: (text: string) => string
}

/** Takes the whole terminal until the scope closes; what is drawn replaces what was drawn before. */
export const canvas = ({ write }: Output) =>
  Effect.as(
    Effect.acquireRelease(
      Effect.sync(() => write("\u001b[?1049h\u001b[?25l\u001b[?7l")),
      () => Effect.sync(() => write("\u001b[?7h\u001b[?25h\u001b[?1049l"))
    ),
    (lines: ReadonlyArray<string>) => write(`\u001b[H${lines.map((line) => `${line}\u001b[K`).join("\n")}\u001b[J`)
  )

const plain = (text: string) => text
const ansi = (code: number) => (text: string) => (text === "" ? "" : `\u001b[${code}m${text}\u001b[0m`)

/** A stream that people or programs read. */
export interface Output {
  readonly isTerminal: boolean
  /** Colours for a terminal; plain text for everything else, or when `NO_COLOR` asks for it. */
  readonly paint: Paint
  /** Writes at once. */
  readonly write: (text: string) => void
}

export const output = Effect.fnUntraced(function* (name: "stdout" | "stderr") {
  const stdio = yield* Stdio.Stdio
  const isTerminal = yield* name === "stdout" ? stdio.stdoutIsTerminal : stdio.stderrIsTerminal
  const noColour = yield* Config.String("NO_COLOR").pipe(
    Config.withDefault(""),
    Effect.orElseSucceed(() => "")
  )
  return {
    isTerminal,
    paint: paint(isTerminal && noColour === ""),
    write: (text: string) => void process[name].write(text)
  } satisfies Output
})

const paint = (colours: boolean): Paint => ({
  strong: colours ? ansi(1) : plain,
  faint: colours ? ansi(2) : plain,
  good: colours ? ansi(32) : plain,
  bad: colours ? ansi(31) : plain,
  warn: colours ? ansi(33) : plain,
  accent: colours ? ansi(36) : plain
})

const eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]

/** A bar of at most `width` characters, an eighth of a character exact. */
export const bar = (share: number, width: number): string => {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width * 8)
  return "█".repeat(Math.floor(full / 8)) + (eighths[full % 8] ?? "")
}

export const percent = (share: number): string => `${Math.round(share * 100)} %`

/** "8 ms", "0.4 ms", "1.2 s", "1h 2m 5s"; "–" where nothing was measured. */
export const time = (milliseconds: number | undefined): string => {
  if (milliseconds === undefined) return "–"
  if (milliseconds >= 120_000) return Duration.format(Duration.seconds(Math.round(milliseconds / 1000)))
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`
  return milliseconds < 1 ? `${milliseconds.toFixed(1)} ms` : `${Math.round(milliseconds)} ms`
}

export const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`

/** Rows as columns, each as wide as its widest cell; numbers end where their column ends. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>, alignedRight: ReadonlySet<number>) => {
  const widths: Array<number> = []
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)))
  return rows.map((row) =>
    row
      .map((cell, i) => (alignedRight.has(i) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join("  ")
      .trimEnd()
  )
}
