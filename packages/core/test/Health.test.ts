import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Health } from "@muster/core"
import { recorded } from "./fixtures/arbitrary.ts"
import { defaults } from "./fixtures/instances.ts"

const step = Health.step(defaults.health)

const streak: Health.Evidence = { refused: false, streak: 5, requests: 5, successRate: 0, successRateOfOthers: 1 }
const single: Health.Evidence = { refused: false, streak: 1, requests: 100, successRate: 0.99, successRateOfOthers: 1 }

const failed = (
  at: number,
  fields: Partial<Extract<Health.Event, { readonly _tag: "Failed" }>> = {}
): Health.Event => ({
  _tag: "Failed",
  at,
  evidence: streak,
  room: true,
  jitter: 1,
  ...fields
})

const warming: Health.Health = { _tag: "Warming", since: 0, until: 10_000 }
const ejected: Health.Health = { _tag: "Ejected", attempt: 2, since: 100, until: 1000 }
const probing: Health.Health = { _tag: "Probing", attempt: 2 }

const events = {
  Succeeded: { _tag: "Succeeded", at: 2000 },
  Failed: failed(2000),
  ProbeStarted: { _tag: "ProbeStarted", at: 2000 },
  ProbeCancelled: { _tag: "ProbeCancelled", at: 2000 },
  Ticked: { _tag: "Ticked", at: 2000 }
} satisfies Record<Health.Event["_tag"], Health.Event>

const out = (attempt: number, delay: number): Health.Health => ({
  _tag: "Ejected",
  attempt,
  since: 2000,
  until: 2000 + delay
})

/** Every edge of the table; a pair that is missing keeps the same reference. */
const table: ReadonlyArray<
  readonly [state: Health.Health, edges: Partial<Record<Health.Event["_tag"], Health.Health>>]
> = [
  [warming, { Failed: out(1, 1000) }],
  [
    { ...warming, until: 2000 },
    { Failed: out(1, 1000), Ticked: Health.healthy }
  ],
  [Health.healthy, { Failed: out(1, 1000) }],
  [ejected, { ProbeStarted: probing }],
  [{ ...ejected, until: 3000 }, {}],
  [
    probing,
    {
      Succeeded: { _tag: "Warming", since: 2000, until: 6000 },
      Failed: out(3, 4000),
      ProbeCancelled: { _tag: "Ejected", attempt: 2, since: 1000, until: 2000 }
    }
  ]
]

const isOut = (evidence: Health.Evidence, room = true) =>
  step(Health.healthy, failed(0, { evidence, room }))._tag === "Ejected"

const delays = (jitter: number) => {
  let state: Health.Health = Health.healthy
  return [1, 2, 3, 4, 5].map(() => {
    state = step(state, failed(0, { jitter }))
    const delay = state._tag === "Ejected" ? state.until : Number.NaN
    state = step(state, { _tag: "ProbeStarted", at: delay })
    return delay
  })
}

const most = (total: number) => {
  let out = 0
  while (Health.hasRoom(defaults.health, total, out)) out++
  return out
}

const fold = (events: ReadonlyArray<Health.Event>) => {
  let state: Health.Health = warming
  return events.map((event) => (state = step(state, event)))
}

describe("Health", () => {
  it("takes every edge of the table and no other", () => {
    for (const [state, edges] of table) {
      for (const event of Object.values(events)) {
        const next = step(state, event)
        const expected = edges[event._tag]
        const pair = `${JSON.stringify(state)} × ${event._tag}`
        if (expected === undefined) assert.strictEqual(next, state, pair)
        else assert.deepStrictEqual(next, expected, pair)
      }
    }
  })

  it("takes an instance out for a streak, a refusal, or much less success than the others have, and only with room", () => {
    assert.isTrue(isOut(streak))
    assert.isFalse(isOut({ ...streak, streak: 4, successRate: 1 }))
    assert.isTrue(isOut({ ...single, refused: true }))
    assert.isFalse(isOut(single))
    assert.isTrue(isOut({ ...single, successRate: 0.7 }))
    assert.isFalse(isOut({ ...single, successRate: 0.7, successRateOfOthers: 0.7 }))
    assert.isFalse(isOut({ ...single, successRate: 0.5, requests: 4 }))
    assert.isFalse(isOut(streak, false))
  })

  it("doubles the time out up to 5 s, half of it for sure and half at random", () => {
    assert.deepStrictEqual(delays(1), [1000, 2000, 4000, 5000, 5000])
    assert.deepStrictEqual(delays(0), [500, 1000, 2000, 2500, 2500])
  })

  it("never takes more than a tenth out, though at least one, and never the last", () => {
    assert.deepStrictEqual([0, 1, 2, 3, 10, 19, 20, 100].map(most), [0, 0, 1, 1, 1, 1, 2, 10])
  })

  it("uses everybody again when less than half are left", () => {
    assert.isFalse(Health.isPanic(defaults.health, 2, 1))
    assert.isTrue(Health.isPanic(defaults.health, 3, 2))
    assert.isTrue(Health.isPanic(defaults.health, 1, 1))
    assert.isFalse(Health.isPanic(defaults.health, 0, 0))
  })

  it("lets a request that cannot be sent again wait with probing for as long again", () => {
    assert.strictEqual(Health.probeAt(ejected, true), 1000)
    assert.strictEqual(Health.probeAt(ejected, false), 1900)
    assert.strictEqual(Health.probeAt(Health.healthy, true), Infinity)
  })

  it.effect.prop(
    "folding an encoded log again gives every state again",
    [Schema.Array(Schema.Literals(Object.values(events).map(({ _tag }) => _tag)))],
    ([tags]) =>
      Effect.gen(function* () {
        const log = tags.map((tag, index): Health.Event => ({ ...events[tag], at: index * 700 }))
        assert.deepStrictEqual(fold(yield* recorded(Health.Event)(log)), fold(log))
      })
  )
})
