import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import { Metrics } from "@muster/core"
import * as Tally from "../src/internal/tally.ts"

describe("a tally", () => {
  it.effect(
    "is what its metric says, goes on where the one before it stopped, and from nothing once that is gone",
    () =>
      Effect.gen(function* () {
        const context = yield* Effect.context()
        const attributes = { service: "orders", instance: "a", outcome: "succeeded" }
        const seen = Effect.map(Metric.value(Metric.withAttributes(Metrics.requests, attributes)), ({ count }) => count)
        const first = Tally.make(Metrics.requests, attributes, context)
        first.count += 2
        assert.strictEqual(yield* seen, 2)
        const second = Tally.make(Metrics.requests, attributes, context)
        second.count++
        assert.strictEqual(yield* seen, 3)
        second.series.remove()
        assert.strictEqual(Tally.make(Metrics.requests, attributes, context).count, 0)
      }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )
})
