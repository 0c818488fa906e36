/**
 * What the story proved: the figures of each phase, what the servers' own tallies and the client's snapshots say, and
 * which promises held.
 */
import { Schema } from "effect"

export const PhaseReport = Schema.Struct({
  name: Schema.String,
  requests: Schema.Int,
  failed: Schema.Int,
  retried: Schema.Int,
  /** The fewest instances that requests could go to at any moment. */
  minPickable: Schema.Int,
  shares: Schema.Record(Schema.String, Schema.Finite),
  p50Ms: Schema.Finite,
  p99Ms: Schema.Finite
})

export type PhaseReport = typeof PhaseReport.Type

export const Report = Schema.Struct({
  registry: Schema.String,
  requests: Schema.Int,
  failed: Schema.Int,
  executedTwice: Schema.Int,
  phases: Schema.Array(PhaseReport),
  frozen: Schema.Struct({ times: Schema.Int, maxAgeMs: Schema.Finite }),
  removedWhileServing: Schema.Int,
  /** Orders in flight on the killed server at the moment of the kill that nobody answered. */
  lostInKill: Schema.Int,
  ok: Schema.Boolean
})

export type Report = typeof Report.Type

/** Servers that fail fast may cost this share of the requests that must not run twice: none can be asked again. */
const failingShare = 0.01

/** The promises that did not hold, as sentences; none is what the story wants. */
export const broken = (report: Omit<Report, "ok">): ReadonlyArray<string> => [
  ...report.phases.flatMap(({ name, requests, failed }) => {
    const allowed = name === "failing" ? Math.floor(requests * failingShare) : 0
    return failed > allowed
      ? [`${failed} of ${requests} requests failed in the phase "${name}" (allowed: ${allowed})`]
      : []
  }),
  ...(report.executedTwice > 0 ? [`${report.executedTwice} orders were executed twice`] : []),
  ...(report.removedWhileServing > 0
    ? [`${report.removedWhileServing} times a serving instance was gone from the client's snapshot`]
    : [])
]
