/**
 * How the story is told: what happened when, a line of bars now and then, and the evidence as a table.
 */
import type { Figures } from "../Figures.ts"
import { type Happening, sentence } from "../Happening.ts"
import { bar, count, type Output, percent, table, time } from "../Screen.ts"
import type { Report } from "./Report.ts"

const barWidth = 16
const shownProblems = 5

export const make = ({ paint, write: print }: Output, elapsedMs: () => number) => {
  const write = (line: string) => print(`${line}\n`)
  const at = (line: string) => write(`${paint.faint(`${(elapsedMs() / 1000).toFixed(1).padStart(6)} s`)}  ${line}`)

  return {
    begin: (registry: string, perSecond: number) => {
      write("")
      write(paint.strong(`Muster: three servers, one client, ${perSecond} requests a second, whatever happens`))
      write(paint.faint(`registry ${registry}`))
    },
    act: (name: string, title: string) => {
      write("")
      write(`${paint.accent("▌")} ${paint.strong(name)}  ${title}`)
    },
    happened: (happening: Happening) => at(sentence(happening, paint)),
    did: (what: string) => at(`${paint.accent("▷")} ${what}`),
    warned: (what: string) => at(`${paint.bad("✗")} ${what}`),
    /** The answers of the last seconds. */
    figures: (figures: Figures, frozenSince: number | undefined) => {
      const shares = figures.shares.map(([instance, share]) => {
        const length = bar(share, barWidth)
        return `${instance} ${paint.accent(length)}${paint.faint("░".repeat(barWidth - length.length))} ${percent(share)}`
      })
      const latency = `p50 ${time(figures.latency(0.5))}  p99 ${time(figures.latency(0.99))}`
      const frozen = frozenSince === undefined ? "" : paint.accent(`  ❄ for ${time(frozenSince)}`)
      at(`${shares.join("  ")}  ${paint.faint(latency)}${frozen}`)
    },
    report: (report: Report, broken: ReadonlyArray<string>, problems: ReadonlyArray<string>) => {
      write("")
      const [header = "", ...rows] = table(
        [
          ["phase", "requests", "failed", "retried", "pickable", "p50", "p99", "shares"],
          ...report.phases.map(({ name, requests, failed, retried, minPickable, p50Ms, p99Ms, shares }) => [
            name,
            String(requests),
            String(failed),
            String(retried),
            `≥ ${minPickable}`,
            time(p50Ms),
            time(p99Ms),
            Object.entries(shares)
              .map(([instance, share]) => `${instance} ${percent(share)}`)
              .join(" · ")
          ])
        ],
        new Set([1, 2, 3, 4, 5, 6])
      )
      write(paint.strong(header))
      for (const row of rows) write(row)
      write("")
      write(
        [
          `${count(report.requests, "request")}, ${report.failed} failed`,
          `${report.executedTwice} executed twice`,
          `${count(report.lostInKill, "order")} lost in the kill`,
          `frozen ${count(report.frozen.times, "time")}, at most ${time(report.frozen.maxAgeMs)} old`,
          `${report.removedWhileServing} serving instances removed`
        ].join(" · ")
      )
      for (const problem of problems.slice(0, shownProblems)) write(paint.faint(`  ${problem}`))
      if (problems.length > shownProblems) write(paint.faint(`  … and ${problems.length - shownProblems} more`))
      write("")
      for (const promise of broken) write(`${paint.bad("✗")} ${promise}`)
      if (broken.length === 0) write(`${paint.good("✓")} ${paint.strong("Every promise held.")}`)
    }
  }
}

export type Telling = ReturnType<typeof make>
