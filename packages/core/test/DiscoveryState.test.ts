import { assert, describe, it } from "@effect/vitest"
import { Effect, HashMap, Schema } from "effect"
import { Change, DiscoveryState, type Endpoint, Guard, Policy, RegistryError, Snapshot } from "@muster/core"
import { delta, endpoint, id, listing, Move, Put, recorded } from "./fixtures/arbitrary.ts"

const options = Policy.MassRemoval.defaultValue()
const step = DiscoveryState.step(options)
const cursor = Change.Cursor.make("7")
const newer = Change.Cursor.make("8")
const down: DiscoveryState.Cause = {
  _tag: "Failed",
  error: new RegistryError.RegistryError({
    registry: "memory:",
    key: "orders",
    reason: new RegistryError.Unavailable({ message: "down" })
  })
}
const idle: DiscoveryState.Cause = { _tag: "Idle" }

const known = Guard.replace(Guard.empty, [endpoint("a", { port: 1 }), endpoint("b", { port: 2 })])
const holding = Guard.apply(known, [delta("a"), delta("b")], 100, options)
const events = {
  AttemptStarted: { _tag: "AttemptStarted", at: 200 },
  Reset: { _tag: "Reset", at: 200, endpoints: [endpoint("c", { port: 3 })], cursor: newer, skipped: [] },
  Changed: {
    _tag: "Changed",
    at: 200,
    deltas: [{ _tag: "Put", endpoint: endpoint("c", { port: 3 }) }],
    cursor: newer,
    skipped: []
  },
  Resumed: { _tag: "Resumed", at: 200, cursor: newer },
  Disconnected: { _tag: "Disconnected", at: 200, cause: down },
  Remembered: { _tag: "Remembered", at: 200, endpoints: [endpoint("m")], savedAt: 5 },
  Unreachable: { _tag: "Unreachable", at: 200, id: id("a") },
  Ticked: { _tag: "Ticked", at: 100 + 60_000 },
  GaveUp: { _tag: "GaveUp", at: 200 }
} satisfies { readonly [Tag in DiscoveryState.Event["_tag"]]: Extract<DiscoveryState.Event, { _tag: Tag }> }

const states = {
  Loading: { _tag: "Loading", attempt: 1, cause: undefined },
  Live: { ...holding, _tag: "Live", cursor, since: 50 },
  Frozen: { ...holding, _tag: "Frozen", cursor, asOf: { _tag: "Observed", at: 150 }, cause: idle },
  Resyncing: { ...holding, _tag: "Resyncing", cursor, asOf: { _tag: "Observed", at: 150 }, cause: idle },
  Failed: { _tag: "Failed", cause: idle }
} satisfies {
  readonly [Tag in DiscoveryState.DiscoveryState["_tag"]]: Extract<DiscoveryState.DiscoveryState, { _tag: Tag }>
}

/** "·" is: the same reference. Anything else describes the next state. */
const table: {
  readonly [State in keyof typeof states]: {
    readonly [Tag in DiscoveryState.Event["_tag"]]: "·" | ((next: DiscoveryState.DiscoveryState) => void)
  }
} = {
  Loading: {
    AttemptStarted: (next) => assert.deepStrictEqual(next, { _tag: "Loading", attempt: 2, cause: undefined }),
    Reset: (next) => assertServes(next, "Live", ["c"], []),
    Changed: "·",
    Resumed: "·",
    Disconnected: (next) => assert.deepStrictEqual(next, { _tag: "Loading", attempt: 1, cause: down }),
    Remembered: (next) => {
      assertServes(next, "Frozen", ["m"], [])
      assert.deepStrictEqual(DiscoveryState.asOf(next, 200), { _tag: "Saved", savedAt: 5 })
    },
    Unreachable: "·",
    Ticked: "·",
    GaveUp: (next) => assert.deepStrictEqual(next, { _tag: "Failed", cause: undefined })
  },
  Live: {
    AttemptStarted: "·",
    Reset: (next) => assertServes(next, "Live", ["a", "b", "c"], ["a", "b"]),
    Changed: (next) => assertServes(next, "Live", ["a", "b", "c"], ["a", "b"]),
    Resumed: "·",
    Disconnected: (next) => {
      assertServes(next, "Frozen", ["a", "b"], ["a", "b"])
      assert.deepInclude({ ...next }, { cause: down, cursor, asOf: { _tag: "Observed", at: 200 } })
    },
    Remembered: "·",
    Unreachable: (next) => assertServes(next, "Live", ["b"], ["b"]),
    Ticked: (next) => assertServes(next, "Live", [], []),
    GaveUp: "·"
  },
  Frozen: {
    AttemptStarted: (next) => assertServes(next, "Resyncing", ["a", "b"], ["a", "b"]),
    Reset: "·",
    Changed: "·",
    Resumed: "·",
    Disconnected: (next) => {
      assertServes(next, "Frozen", ["a", "b"], ["a", "b"])
      assert.deepInclude({ ...next }, { cause: down, asOf: { _tag: "Observed", at: 150 } })
    },
    Remembered: "·",
    Unreachable: (next) => assertServes(next, "Frozen", ["b"], ["b"]),
    Ticked: (next) => assertServes(next, "Frozen", [], []),
    GaveUp: (next) => assert.deepStrictEqual(next, { _tag: "Failed", cause: idle })
  },
  Resyncing: {
    AttemptStarted: "·",
    Reset: (next) => assertServes(next, "Live", ["a", "b", "c"], ["a", "b"]),
    Changed: "·",
    Resumed: (next) => {
      assertServes(next, "Live", ["a", "b"], ["a", "b"])
      assert.deepInclude({ ...next }, { cursor: newer, since: 200 })
    },
    Disconnected: (next) => {
      assertServes(next, "Frozen", ["a", "b"], ["a", "b"])
      assert.deepInclude({ ...next }, { cause: down, asOf: { _tag: "Observed", at: 150 } })
    },
    Remembered: "·",
    Unreachable: (next) => assertServes(next, "Resyncing", ["b"], ["b"]),
    Ticked: (next) => assertServes(next, "Resyncing", [], []),
    GaveUp: (next) => assert.deepStrictEqual(next, { _tag: "Failed", cause: idle })
  },
  Failed: {
    AttemptStarted: (next) => assert.deepStrictEqual(next, { _tag: "Loading", attempt: 1, cause: idle }),
    Reset: "·",
    Changed: "·",
    Resumed: "·",
    Disconnected: "·",
    Remembered: "·",
    Unreachable: "·",
    Ticked: "·",
    GaveUp: "·"
  }
}

const assertServes = (
  state: DiscoveryState.DiscoveryState,
  tag: DiscoveryState.Known["_tag"],
  pickable: ReadonlyArray<string>,
  held: ReadonlyArray<string>
) => {
  assert.strictEqual(state._tag, tag)
  if (!DiscoveryState.isKnown(state)) return
  assert.deepStrictEqual([...HashMap.keys(state.snapshot.endpoints)].toSorted(), pickable)
  assert.deepStrictEqual([...HashMap.keys(state.held)].toSorted(), held)
}

describe("DiscoveryState", () => {
  for (const [name, row] of Object.entries(table)) {
    for (const [tag, expected] of Object.entries(row)) {
      it(`${name} × ${tag}${expected === "·" ? " means nothing" : ""}`, () => {
        const state = Object.entries(states).find(([candidate]) => candidate === name)?.[1]
        const event = Object.entries(events).find(([candidate]) => candidate === tag)?.[1]
        assert.isDefined(state)
        assert.isDefined(event)
        const next = step(state, event)
        if (expected === "·") assert.strictEqual(next, state)
        else expected(next)
      })
    }
  }

  it("believes the first inventory after a remembered one, however much is missing", () => {
    const remembered = step(DiscoveryState.initial, {
      _tag: "Remembered",
      at: 0,
      endpoints: [endpoint("a", { port: 1 }), endpoint("b", { port: 2 }), endpoint("c", { port: 3 })],
      savedAt: 1
    })
    const asking = step(remembered, { _tag: "AttemptStarted", at: 1 })
    assertServes(
      step(asking, { _tag: "Reset", at: 2, endpoints: [endpoint("c", { port: 3 })], cursor, skipped: [] }),
      "Live",
      ["c"],
      []
    )
  })

  it("believes it too where the watch was open before the remembered one was found", () => {
    const asking = step(DiscoveryState.initial, { _tag: "AttemptStarted", at: 0 })
    const remembered = step(asking, { ...events.Remembered, at: 1 })
    assertServes(remembered, "Frozen", ["m"], [])
    assertServes(step(remembered, events.Reset), "Live", ["c"], [])
  })

  it("four kinds of nothing: only an authoritative empty answer empties, and then through the guard", () => {
    const live = step(DiscoveryState.initial, { _tag: "Reset", at: 0, endpoints: [], cursor, skipped: [] })
    assertServes(live, "Live", [], [])
    const before = step(DiscoveryState.initial, { ...events.Reset, at: 0 })
    assertServes(step(before, { _tag: "Reset", at: 1, endpoints: [], cursor, skipped: [] }), "Live", ["c"], ["c"])
  })

  it("keeps an instance whose entry became unreadable", () => {
    const before = step(DiscoveryState.initial, { ...events.Reset, at: 0 })
    const skipped = [{ key: "orders/c", id: id("c"), problem: "not JSON" }]
    assertServes(step(before, { _tag: "Reset", at: 1, endpoints: [], cursor, skipped }), "Live", ["c"], [])
  })

  const unreadable = [{ key: "orders/a", id: id("a"), problem: "not JSON" }]

  it("ends the hold of an instance whose entry is back, though it cannot be read, and keeps the instance", () => {
    const reset = { _tag: "Reset", at: 200, endpoints: [endpoint("b", { port: 2 })], cursor } as const
    const soon = step(states.Live, { ...reset, skipped: unreadable })
    assertServes(soon, "Live", ["a", "b"], [])
    const late = step(states.Live, { ...reset, at: 59_000, skipped: unreadable })
    assertServes(late, "Live", ["a", "b"], [])
    assertServes(step(late, events.Ticked), "Live", ["a", "b"], [])
    assertServes(step(late, { ...reset, at: 70_000, skipped: [] }), "Live", ["b"], [])
  })

  it("keeps a remembered instance whose entry exists, though it cannot be read, and nobody else who is not listed", () => {
    const remembered = step(DiscoveryState.initial, {
      ...events.Remembered,
      endpoints: ["a", "b", "c"].map((name, i) => endpoint(name, { port: 1 + i }))
    })
    const reset = { ...events.Reset, endpoints: [endpoint("c", { port: 3 })], skipped: unreadable }
    assertServes(step(remembered, reset), "Live", ["a", "c"], [])
    assertServes(step(step(remembered, events.AttemptStarted), reset), "Live", ["a", "c"], [])
  })

  it.each([
    { cause: down, held: ["a"], when: "the registry was lost" },
    { cause: idle, held: [], when: "nobody had asked" }
  ])("where $when, a single one that is missing afterwards is held: $held", ({ cause, held }) => {
    const three = ["a", "b", "c"].map((name, i) => endpoint(name, { port: 1 + i }))
    const left = three.slice(1)
    const back = [
      { _tag: "Reset", at: 0, endpoints: three, cursor, skipped: [] },
      { _tag: "Disconnected", at: 1, cause },
      { _tag: "AttemptStarted", at: 2 }
    ] satisfies ReadonlyArray<DiscoveryState.Event>
    const resyncing = back.reduce(step, DiscoveryState.initial)
    const pickable = [...held, "b", "c"]
    assertServes(step(resyncing, { ...events.Reset, endpoints: left }), "Live", pickable, held)
    const resumed = step(resyncing, events.Resumed)
    assertServes(step(resumed, { ...events.Changed, deltas: [delta("a")] }), "Live", pickable, held)
  })

  it("F-etcd-c: an outage ends no hold: who could not come back is given the time to, and no more than that", () => {
    const empty = { _tag: "Reset", endpoints: [], cursor, skipped: [] } as const
    const two = [endpoint("a", { port: 1 }), endpoint("b", { port: 2 })]
    const log = [
      { _tag: "Reset", at: 0, endpoints: two, cursor, skipped: [] },
      { ...events.Changed, at: 0, deltas: [delta("a"), delta("b")] },
      { _tag: "Disconnected", at: 1_000, cause: down },
      { _tag: "AttemptStarted", at: 20_000 },
      { ...empty, at: 20_100 },
      { ...empty, at: 30_099 }
    ] satisfies ReadonlyArray<DiscoveryState.Event>
    const doubted = log.reduce(step, DiscoveryState.initial)
    assertServes(doubted, "Live", ["a", "b"], ["a", "b"])
    assertServes(step(doubted, { ...empty, at: 30_100 }), "Live", [], [])
    assertServes(step(doubted, { _tag: "Ticked", at: 59_999 }), "Live", ["a", "b"], ["a", "b"])
    assertServes(step(doubted, { _tag: "Ticked", at: 60_000 }), "Live", [], [])
  })

  const died: DiscoveryState.Cause = { _tag: "Died", defect: "injected" }
  it.each([
    { cause: idle, what: "nobody asked" },
    { cause: died, what: "the actor died" }
  ])("an outage is not forgotten because $what meanwhile", ({ cause }) => {
    const three = ["a", "b", "c"].map((name, i) => endpoint(name, { port: 1 + i }))
    const log = [
      { _tag: "Reset", at: 0, endpoints: three, cursor, skipped: [] },
      { _tag: "Disconnected", at: 1, cause: down },
      { _tag: "Disconnected", at: 2, cause },
      { _tag: "AttemptStarted", at: 3 },
      { _tag: "Disconnected", at: 4, cause },
      { _tag: "AttemptStarted", at: 5 },
      { ...events.Reset, endpoints: three.slice(1) }
    ] satisfies ReadonlyArray<DiscoveryState.Event>
    assertServes(log.reduce(step, DiscoveryState.initial), "Live", ["a", "b", "c"], ["a"])
  })

  const remembered = { ...events.Remembered, at: 2 }
  it.each([
    { what: "nothing was known", before: [] },
    { what: "a snapshot was remembered", before: [remembered] },
    { what: "the snapshot was remembered while the watch was open", before: [], meanwhile: [remembered] }
  ])("an outage at the start is one where $what: what is missed for a while afterwards is held", (run) => {
    const three = ["a", "b", "c"].map((name, i) => endpoint(name, { port: 1 + i }))
    const log: ReadonlyArray<DiscoveryState.Event> = [
      { _tag: "AttemptStarted", at: 0 },
      { _tag: "Disconnected", at: 1, cause: down },
      ...run.before,
      { _tag: "AttemptStarted", at: 3 },
      ...(run.meanwhile ?? []),
      { _tag: "Reset", at: 100, endpoints: three, cursor, skipped: [] }
    ]
    const live = log.reduce(step, DiscoveryState.initial)
    assertServes(live, "Live", ["a", "b", "c"], [])
    const missed = { ...events.Changed, deltas: [delta("a")] }
    assertServes(step(live, { ...missed, at: 10_099 }), "Live", ["a", "b", "c"], ["a"])
    assertServes(step(live, { ...missed, at: 10_100 }), "Live", ["b", "c"], [])
  })

  const Happening = Schema.Union([
    Schema.Struct({ _tag: Schema.Literal("Reset"), puts: Schema.Array(Put) }),
    Schema.Struct({ _tag: Schema.Literal("Changed"), moves: Schema.Array(Move) }),
    Schema.Struct({
      _tag: Schema.Literals([
        "AttemptStarted",
        "Resumed",
        "Disconnected",
        "Unreachable",
        "Ticked",
        "GaveUp",
        "Remembered"
      ])
    })
  ])
  const log = (happenings: ReadonlyArray<typeof Happening.Type>): ReadonlyArray<DiscoveryState.Event> =>
    happenings.map((happening, i): DiscoveryState.Event => {
      const at = i * 997
      switch (happening._tag) {
        case "Reset":
          return { _tag: "Reset", at, endpoints: listing(happening.puts), cursor, skipped: [] }
        case "Changed":
          return { _tag: "Changed", at, deltas: happening.moves.map(delta), cursor, skipped: [] }
        default:
          return { ...events[happening._tag], at }
      }
    })

  it.effect.prop("folding an encoded log again gives every state again", [Schema.Array(Happening)], ([happenings]) =>
    Effect.gen(function* () {
      const original = log(happenings)
      const replayed = yield* recorded(DiscoveryState.Event)(original)
      let a = DiscoveryState.initial
      let b = DiscoveryState.initial
      for (const [i, event] of original.entries()) {
        const again = replayed[i]
        assert.isDefined(again)
        a = step(a, event)
        b = step(b, again)
        assert.deepStrictEqual(flat(b), flat(a))
      }
    })
  )

  it.prop("no failure of the registry takes an endpoint away", [Schema.Array(Happening)], ([happenings]) => {
    let state = DiscoveryState.initial
    for (const event of log(happenings)) {
      const next = step(state, event)
      const isFailure = event._tag === "Disconnected" || event._tag === "AttemptStarted" || event._tag === "Resumed"
      if (isFailure && DiscoveryState.isKnown(state)) {
        assert.isTrue(DiscoveryState.isKnown(next) && next.snapshot === state.snapshot)
      }
      state = next
    }
  })
})

const flat = (state: DiscoveryState.DiscoveryState) =>
  JSON.parse(
    JSON.stringify(
      DiscoveryState.isKnown(state)
        ? {
            ...state,
            snapshot: sorted(Snapshot.endpoints(state.snapshot)),
            held: sorted([...HashMap.values(state.held)].map(({ endpoint }) => endpoint)),
            recent: sorted([...HashMap.values(state.recent)].map(({ endpoint }) => endpoint))
          }
        : state
    )
  )

const sorted = (endpoints: ReadonlyArray<Endpoint.Endpoint>) =>
  endpoints.map((endpoint) => JSON.stringify(endpoint)).toSorted()
