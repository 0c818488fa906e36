/**
 * What the story proved: the figures of each phase, what the servers' own tallies and the client's snapshots say, and
 * which promises held.
 */
import { Schema } from "effect"

export const PhaseReport = Schema.Struct({
  name: Schema.String,
  requests: Schema.Int,
  failed: Schema.Int,
  /** How many of them were orders, which must not run twice. */
  failedOrders: Schema.Int,
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

/** Servers that fail fast may cost so many orders, as a share of all requests: nobody else can be asked for them. */
const failingShare = 0.01

/** The promises that did not hold, as sentences; none is what the story wants. */
export const broken = (report: Omit<Report, "ok">): ReadonlyArray<string> => [
  ...report.phases.flatMap(({ name, requests, failed, failedOrders }) => {
    const allowed = name === "failing" ? Math.floor(requests * failingShare) : 0
    const repeatable = failed - failedOrders
    return repeatable > 0 || failedOrders > allowed
      ? [
          `${failed} of ${requests} requests failed in the phase "${name}", ${repeatable} of them could have been repeated` +
            (allowed > 0 ? ` (allowed: ${allowed} orders)` : "")
        ]
      : []
  }),
  ...(report.executedTwice > 0 ? [`${report.executedTwice} orders were executed twice`] : []),
  ...(report.removedWhileServing > 0
    ? [`${report.removedWhileServing} times a serving instance was gone from the client's snapshot`]
    : [])
]
