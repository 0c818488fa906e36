import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Attempt, type Change, type Endpoint, Explain, Outcome, Roster, Snapshot } from "@muster/core"
import { delta, id, Move } from "./fixtures/arbitrary.ts"
import { defaults, endpoint, epoch } from "./fixtures/instances.ts"
import { seeded } from "./fixtures/seeded.ts"

const setUp = (...endpoints: ReadonlyArray<Endpoint.Endpoint>) => {
  const roster = Roster.make(defaults, () => undefined)
  const random = seeded(7)
  let snapshot = Snapshot.make(endpoints)
  const world = {
    now: 0,
    roster,
    snapshot: () => snapshot,
    change: (...deltas: ReadonlyArray<Change.Delta>) => {
      snapshot = Snapshot.apply(snapshot, deltas)
      Roster.apply(roster, snapshot, world.now, epoch + world.now)
    },
    pick: (after: ReadonlyArray<Attempt.Attempt> = []) => Attempt.pick(roster, world.now, random, true, after),
    explain: () => Explain.of(roster, world.now, { picks: () => 0, isHeld: () => false, listed: [] }),
    of: (name: string) => {
      const found = world.explain().instances.find((one) => one.id === name)
      if (found === undefined) throw new Error(`${name} is not accounted for`)
      return found
    },
    /** Makes an attempt on this instance turn out so, as often as asked. */
    turnsOut: (name: string, outcome: Outcome.Outcome, times = 1): void => {
      const others: Array<Attempt.Attempt> = []
      for (let n = 0, left = times; left > 0; n++) {
        const attempt = Attempt.pick(roster, world.now, random, true)
        if (attempt === undefined || n === 1000) throw new Error(`${name} is never chosen`)
        others.push(attempt)
        if (attempt.member.id !== name) continue
        left--
        Attempt.settle(roster, attempt, outcome, world.now + 10, random)
      }
      for (const attempt of others) Attempt.end(roster, attempt)
    }
  }
  world.change()
  Roster.apply(roster, snapshot, 0, epoch)
  return world
}

const three = [endpoint("a", { port: 1 }), endpoint("b", { port: 2 }), endpoint("c", { port: 3 })]

const standingOf = (world: ReturnType<typeof setUp>, name: string) => {
  const { isIn, standing } = world.of(name)
  return [isIn, standing]
}

/** What 3000 picks choose and measure, looked at before and after each of them or not. */
const choices = (looks: boolean) => {
  const world = setUp(...three, endpoint("d", { port: 4, weight: 3 }))
  const random = seeded(3)
  const chosen: Array<string> = []
  for (let n = 0; n < 3000; n++) {
    world.now += 3
    if (looks) world.explain()
    const attempt = world.pick()
    if (attempt === undefined) continue
    chosen.push(attempt.member.id)
    if (looks) Explain.excluded(world.roster, [attempt], world.now)
    const failed = random() < (attempt.member.id === "b" ? 0.5 : 0.01)
    Attempt.settle(world.roster, attempt, failed ? Outcome.failed : Outcome.succeeded, world.now + 5, random)
    Attempt.end(world.roster, attempt)
  }
  return { chosen, hot: Array.from(world.roster.load.hot), cold: Array.from(world.roster.load.cold) }
}

describe("Explain", () => {
  it.prop(
    "accounts for every endpoint of a snapshot, and says of each whether a pick may choose it",
    [Schema.Array(Move)],
    ([moves]) => {
      const world = setUp()
      for (const move of moves) {
        world.change(delta(move))
        const explanation = world.explain()
        assert.deepStrictEqual(
          explanation.instances.map((one) => one.id).toSorted(),
          Snapshot.endpoints(world.snapshot())
            .map((one) => one.id)
            .toSorted()
        )
        const seen = new Set<string>()
        for (let n = 0; n < 60; n++) {
          const attempt = world.pick()
          if (attempt === undefined) continue
          seen.add(attempt.member.id)
          Attempt.end(world.roster, attempt)
        }
        assert.deepStrictEqual(
          [...seen].toSorted(),
          explanation.instances
            .filter(({ isIn }) => isIn)
            .map((one) => one.id as string)
            .toSorted()
        )
        assert.deepStrictEqual(
          Schema.decodeSync(Explain.Explanation)(Schema.encodeSync(Explain.Explanation)(explanation)),
          explanation
        )
      }
    }
  )

  it("tells why an instance is in or out", () => {
    const world = setUp(
      ...three,
      endpoint("d", { port: 4, draining: true }),
      endpoint("e", { port: 5, weight: 0 }),
      endpoint("f", { port: 1, startedAt: 5 })
    )
    assert.deepStrictEqual(standingOf(world, "b"), [true, { _tag: "Well" }])
    assert.deepStrictEqual(standingOf(world, "d"), [false, { _tag: "Draining" }])
    assert.deepStrictEqual(standingOf(world, "e"), [false, { _tag: "Weightless" }])
    assert.deepStrictEqual(standingOf(world, "a"), [false, { _tag: "Shadowed", by: id("f") }])
    world.turnsOut("b", { _tag: "PushedBack", retryAfter: 5000 })
    assert.deepStrictEqual(standingOf(world, "b"), [true, { _tag: "PushedBack", forMillis: 5010 }])
    world.now = 4000
    assert.deepStrictEqual(standingOf(world, "b"), [true, { _tag: "PushedBack", forMillis: 1010 }])
    world.now = 6000
    assert.deepStrictEqual(standingOf(world, "b"), [true, { _tag: "Well" }])
    world.change({ _tag: "Put", endpoint: endpoint("g", { port: 7 }) })
    assert.deepStrictEqual(standingOf(world, "g"), [true, { _tag: "Warming", forMillis: 10_000 }])
    assert.closeTo(world.of("g").warmth, 0.1, 1e-9)
    world.turnsOut("c", Outcome.refused)
    const [isIn, standing] = standingOf(world, "c")
    assert.isFalse(isIn)
    assert.isTrue(
      typeof standing === "object" && standing._tag === "Ejected" && standing.attempt === 1 && standing.forMillis >= 500
    )
    world.now += 1010
    assert.strictEqual(world.pick()?.member.id, "c")
    assert.deepStrictEqual(standingOf(world, "c"), [false, { _tag: "Probing", attempt: 1 }])
  })

  it("says that an instance that is out is in while too few others are left", () => {
    const options = { ...defaults, health: { ...defaults.health, maxEjected: 1 } }
    const roster = Roster.make(options, () => undefined)
    Roster.apply(roster, Snapshot.make(three), 0, epoch)
    const explain = () => Explain.of(roster, 10, { picks: () => 0, isHeld: () => false, listed: [] })
    for (const name of ["a", "b"]) {
      const member = roster.members.get(id(name))
      if (member === undefined) throw new Error(name)
      const evidence = { refused: true, streak: 1, requests: 1, successRate: 0, successRateOfOthers: 1 }
      Roster.dispatch(roster, member, { _tag: "Failed", at: 10, evidence, room: true, jitter: 0 })
    }
    assert.isTrue(explain().isPanic)
    assert.deepStrictEqual(
      explain().instances.map(({ id, isIn, standing }) => [id as string, isIn, standing._tag]),
      [
        ["a", true, "Ejected"],
        ["b", true, "Ejected"],
        ["c", true, "Well"]
      ]
    )
  })

  it("says that the only one that is left is in although it is out, and nobody is to be used in a panic", () => {
    const roster = Roster.make({ ...defaults, health: { ...defaults.health, panicBelow: 0 } }, () => undefined)
    let snapshot = Snapshot.make([endpoint("x", { port: 1 }), endpoint("y", { port: 2 })])
    Roster.apply(roster, snapshot, 0, epoch)
    const x = roster.members.get(id("x"))
    if (x === undefined) throw new Error("no x")
    const evidence = { refused: true, streak: 1, requests: 1, successRate: 0, successRateOfOthers: 1 }
    Roster.dispatch(roster, x, { _tag: "Failed", at: 10, evidence, room: true, jitter: 0 })
    snapshot = Snapshot.apply(snapshot, [{ _tag: "Removed", id: id("y") }])
    Roster.apply(roster, snapshot, 20, epoch)
    assert.strictEqual(Attempt.pick(roster, 20, seeded(1), true)?.member.id, "x")
    const { instances, isPanic } = Explain.of(roster, 20, { picks: () => 0, isHeld: () => false, listed: [] })
    assert.isFalse(isPanic)
    assert.deepStrictEqual(
      instances.map(({ id, isIn, standing }) => [id as string, isIn, standing._tag]),
      [["x", true, "Ejected"]]
    )
  })

  it("takes the cost apart: latency, what is in flight beyond the usual, and how broken it is", () => {
    const world = setUp(...three)
    world.turnsOut("a", Outcome.succeeded, 10)
    world.turnsOut("b", Outcome.succeeded, 3)
    world.turnsOut("b", Outcome.failed, 2)
    world.now = 10
    for (let n = 0; n < 7; n++) world.pick()
    for (const one of world.explain().instances) {
      const alone = (one.latency * (one.requestsInFlight + 1)) / (one.usuallyInFlight + 1)
      if (one.failureRate === 0) assert.closeTo(one.cost, alone, 1e-9)
      else assert.isAbove(one.cost, alone * 1.5)
    }
    assert.isTrue(world.of("a").isLatencyKnown)
    assert.strictEqual(world.of("a").latency, 10)
    assert.isFalse(world.of("c").isLatencyKnown)
    assert.isAbove(world.of("b").failureRate, 0.1)
    assert.strictEqual(
      world.explain().instances.reduce((sum, one) => sum + one.requestsInFlight, 0),
      7
    )
  })

  it("looking changes no choice and no measurement", () => {
    assert.deepStrictEqual(choices(true), choices(false))
  })

  it("tells what was against each instance that a request could not be sent to, at most 16 of them", () => {
    const world = setUp(...three, endpoint("d", { port: 4, draining: true }), endpoint("e", { port: 5 }))
    const first = world.pick()
    if (first === undefined) throw new Error("nobody is there")
    const names = ["a", "b", "c", "e"].filter((name) => name !== first.member.id)
    world.turnsOut(names[0] ?? "", Outcome.refused)
    world.turnsOut(names[1] ?? "", { _tag: "PushedBack", retryAfter: 3000 })
    const words = () =>
      Object.fromEntries(
        Explain.excluded(world.roster, [first], 10).map((one) => [one.id as string, Explain.describe(one.why)])
      )
    assert.strictEqual(words()[first.member.id], "was tried (still on its way)")
    Attempt.settle(world.roster, first, Outcome.failed, 10, Math.random)
    assert.deepStrictEqual(
      { ...words(), [names[0] ?? ""]: "" },
      {
        [first.member.id]: "was tried (failed)",
        [names[0] ?? ""]: "",
        [names[1] ?? ""]: "asked to be left alone for 3.0 s",
        [names[2] ?? ""]: "is well",
        d: "is about to leave"
      }
    )
    assert.match(words()[names[0] ?? ""] ?? "", /^failed too often and is out for (0\.[5-9]|1\.0) s$/)
    const many = setUp(...Array.from({ length: 100 }, (_, n) => endpoint(`i${n}`, { port: 1 + n })))
    assert.strictEqual(Explain.excluded(many.roster, [], 0).length, 16)
  })

  it("shows the last choices, the newest first, each with what was compared", () => {
    const world = setUp(...three)
    const chosen: Array<string> = []
    for (let n = 0; n < 100; n++) {
      world.now = n
      const attempt = world.pick()
      if (attempt !== undefined) chosen.unshift(attempt.member.id)
    }
    const { choices } = world.explain()
    assert.isAtLeast(choices.length, 50)
    for (const [n, { at, compared, id }] of choices.entries()) {
      assert.deepStrictEqual([at, id as string], [99 - n, chosen[n]])
      assert.strictEqual(new Set(compared.map((one) => one.id)).size, 2)
      const own = compared.find((one) => one.id === id)
      const least = Math.min(...compared.map(({ cost }) => cost))
      // Costs within the noise tie.
      assert.isTrue(own !== undefined && own.cost <= least * (1 + defaults.load.noise))
    }
  })
})
