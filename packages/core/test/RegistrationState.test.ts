import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { RegistrationState, RegistryError } from "@muster/core"
import { recorded } from "./fixtures/arbitrary.ts"

type State = RegistrationState.RegistrationState
type Event = RegistrationState.Event

/** DESIGN.md's table, cell by cell: "·" keeps the same reference, "(n+1)" and "(k+1)" count on, "(0)" and "(1)" start. */
const table = `
Registration  GrantStarted Granted     GrantFailed    RenewStarted Renewed    RenewFailed   EntryMissing LeaseLost Superseded DrainStarted DrainFailed Withdrew
Idle          Granting(1)  ·           ·              ·            ·          ·             ·            ·         ·          Withdrawn    ·           Withdrawn
Granting(n)   ·            Registered  Granting(n+1)  ·            ·          ·             ·            Granting  Fenced     Draining     ·           Withdrawn
Registered    ·            ·           ·              Renewing(0)  ·          ·             Granting(1)  Lost      Fenced     Draining     ·           Withdrawn
Renewing(k)   ·            ·           ·              ·            Registered Renewing(k+1) Granting(1)  Lost      Fenced     Draining     ·           Withdrawn
Lost          Granting(1)  ·           ·              ·            Registered ·             ·            ·         Fenced     Draining     ·           Withdrawn
Draining      ·            ·           ·              ·            ·          ·             ·            ·         ·          ·            ·           Withdrawn
Fenced        ·            ·           ·              ·            ·          ·             ·            ·         ·          Withdrawn    ·           Withdrawn
Withdrawn     ·            ·           ·              ·            ·          ·             ·            ·         ·          ·            ·           ·
`
const [header, ...rows] = table
  .trim()
  .split("\n")
  .map((line) => line.split(/\s+/))
const cells = rows.flatMap(([from, ...to]) =>
  to.map((cell, index) => ({ from: from?.replace(/\(.*/, "") ?? "", event: header?.[index + 1] ?? "", cell }))
)

const error = new RegistryError.RegistryError({
  registry: "memory:",
  key: "orders/a",
  reason: new RegistryError.Unavailable({ message: "down" })
})
const granted = { lease: "7", ttl: 10_000, confirmedAt: 100 }
const at = 5000

const states: { readonly [Tag in State["_tag"]]: ReadonlyArray<Extract<State, { readonly _tag: Tag }>> } = {
  Idle: [{ _tag: "Idle" }],
  Granting: [
    { _tag: "Granting", attempt: 1, error: undefined },
    { _tag: "Granting", attempt: 4, error }
  ],
  Registered: [{ _tag: "Registered", ...granted }],
  Renewing: [
    { _tag: "Renewing", failures: 0, ...granted },
    { _tag: "Renewing", failures: 3, ...granted }
  ],
  Lost: [{ _tag: "Lost", lease: "7", ttl: 10_000, since: 100 }],
  Draining: [
    { _tag: "Draining", lease: "7", since: 100 },
    { _tag: "Draining", lease: undefined, since: 100 }
  ],
  Fenced: [{ _tag: "Fenced", since: 100 }],
  Withdrawn: [{ _tag: "Withdrawn" }]
}

const events: { readonly [Tag in Event["_tag"]]: Extract<Event, { readonly _tag: Tag }> } = {
  GrantStarted: { _tag: "GrantStarted", at },
  Granted: { _tag: "Granted", at, lease: "8", ttl: 12_000 },
  GrantFailed: { _tag: "GrantFailed", at, error },
  RenewStarted: { _tag: "RenewStarted", at },
  Renewed: { _tag: "Renewed", at },
  RenewFailed: { _tag: "RenewFailed", at, error },
  EntryMissing: { _tag: "EntryMissing", at },
  LeaseLost: { _tag: "LeaseLost", at },
  Superseded: { _tag: "Superseded", at },
  DrainStarted: { _tag: "DrainStarted", at },
  DrainFailed: { _tag: "DrainFailed", at, error },
  Withdrew: { _tag: "Withdrew", at }
}

/** What a cell promises, given the state before: the lease and its time to live are carried over, never invented. */
const promised = (before: State, event: Event, cell: string | undefined): State => {
  const held =
    before._tag === "Registered" || before._tag === "Renewing" || before._tag === "Lost"
      ? { lease: before.lease, ttl: before.ttl }
      : undefined
  switch (cell) {
    case "·":
    case "Granting":
      return before
    case "Granting(1)":
      return { _tag: "Granting", attempt: 1, error: undefined }
    case "Granting(n+1)":
      return { _tag: "Granting", attempt: before._tag === "Granting" ? before.attempt + 1 : Number.NaN, error }
    case "Registered":
      return { _tag: "Registered", confirmedAt: at, ...(held ?? { lease: "8", ttl: 12_000 }) }
    case "Renewing(0)":
      return { _tag: "Renewing", failures: 0, ...granted }
    case "Renewing(k+1)":
      return { _tag: "Renewing", failures: before._tag === "Renewing" ? before.failures + 1 : Number.NaN, ...granted }
    case "Lost":
      return { _tag: "Lost", since: at, lease: held?.lease ?? "", ttl: held?.ttl ?? 0 }
    case "Fenced":
      return { _tag: "Fenced", since: at }
    case "Draining":
      return { _tag: "Draining", lease: held?.lease, since: at }
    case "Withdrawn":
      return { _tag: "Withdrawn" }
    default:
      return assert.fail(`the table has an unknown cell ${cell} for ${event._tag}`)
  }
}

const isState = Schema.is(
  Schema.Literals(["Idle", "Granting", "Registered", "Renewing", "Lost", "Draining", "Fenced", "Withdrawn"])
)
const isEvent = (tag: string): tag is Event["_tag"] => Object.hasOwn(events, tag)

/** Draws an event of a small world, so that logs reach every state. */
const Drawn = Schema.Struct({
  tag: Schema.Literals(Object.keys(events).filter(isEvent)),
  at: Schema.Literals([0, 1.5, 4000]),
  lease: Schema.Literals(["1", "2", "3"])
})

const drawn = ({ tag, at, lease }: typeof Drawn.Type): Event =>
  tag === "Granted" ? { ...events[tag], at, lease } : { ...events[tag], at }

/** Draws only what keeps an instance in the registry, so that logs go round its states. */
const Claiming = Schema.Struct({
  ...Drawn.fields,
  tag: Schema.Literals([
    "GrantStarted",
    "Granted",
    "RenewStarted",
    "Renewed",
    "RenewFailed",
    "LeaseLost",
    "EntryMissing"
  ])
})

const fold = (log: ReadonlyArray<Event>): ReadonlyArray<State> => {
  let state = RegistrationState.initial
  return log.map((event) => (state = RegistrationState.step(state, event)))
}

describe("RegistrationState", () => {
  it("has a cell for every state and every event", () => {
    assert.deepStrictEqual(new Set(cells.map(({ from }) => from)), new Set(Object.keys(states)))
    assert.deepStrictEqual(new Set(cells.map(({ event }) => event)), new Set(Object.keys(events)))
    assert.strictEqual(cells.length, Object.keys(states).length * Object.keys(events).length)
  })

  for (const { from, event: tag, cell } of cells) {
    it(`${from} on ${tag} ${cell === "·" || cell === "Granting" ? "stays" : `becomes ${cell}`}`, () => {
      if (!isState(from) || !isEvent(tag)) return assert.fail("the table names an unknown state or event")
      for (const before of states[from]) {
        const after = RegistrationState.step(before, events[tag])
        assert.deepStrictEqual(after, promised(before, events[tag], cell))
        if (cell === "·" || cell === "Granting") assert.strictEqual(after, before)
      }
    })
  }

  it("says when a lease without an answer is lost, in every state that holds one", () => {
    for (const state of Object.values(states).flat()) {
      const holds = state._tag === "Registered" || state._tag === "Renewing"
      assert.strictEqual(RegistrationState.deadline(state), holds ? 10_100 : undefined)
    }
  })

  it.effect.prop("folds an encoded and decoded log to every state again", [Schema.Array(Drawn)], ([draws]) =>
    Effect.gen(function* () {
      const log = draws.map(drawn)
      const read = yield* recorded(RegistrationState.Event)(log)
      assert.deepStrictEqual(fold(read), fold(log))
    })
  )

  it.prop("never leaves Withdrawn, and Fenced only for Withdrawn", [Schema.Array(Drawn)], ([draws]) => {
    const visited = fold(draws.map(drawn))
    visited.forEach((state, index) => {
      const next = visited[index + 1]
      if (next === undefined) return
      if (state._tag === "Withdrawn") assert.strictEqual(next, state)
      if (state._tag === "Fenced") assert.include(["Fenced", "Withdrawn"], next._tag)
      if (state._tag === "Draining") assert.include(["Draining", "Withdrawn"], next._tag)
    })
  })

  it.prop(
    "holds a lease only after it was granted, and never an older confirmation",
    [Schema.Array(Claiming)],
    ([draws]) => {
      let clock = 0
      const log = draws.map(drawn).map((event) => ({ ...event, at: (clock += event.at) }))
      let confirmed = 0
      fold(log).forEach((state, index) => {
        if (state._tag !== "Registered" && state._tag !== "Renewing") return
        assert.isTrue(log.slice(0, index + 1).some((event) => event._tag === "Granted" && event.lease === state.lease))
        assert.isAtLeast(state.confirmedAt, confirmed)
        confirmed = state.confirmedAt
      })
    }
  )
})
