import { assert, describe, it } from "@effect/vitest"
import { Attempt, Checks, Load, Outcome, Roster, Snapshot } from "@muster/core"
import { id } from "./fixtures/arbitrary.ts"
import { defaults, endpoint, epoch } from "./fixtures/instances.ts"
import { seeded } from "./fixtures/seeded.ts"
import { record } from "./fixtures/measured.ts"

const silence = 10_000

const setUp = () => {
  const roster = Roster.make(defaults, () => undefined)
  const random = seeded(3)
  const endpoints = ["a", "b", "c"].map((name, index) => endpoint(name, { port: index + 1 }))
  Roster.apply(roster, Snapshot.make(endpoints), 0, epoch)
  const member = (name: string) => {
    const known = roster.members.get(id(name))
    if (known === undefined) throw new Error(`no ${name}`)
    return known
  }
  const due = (now: number) =>
    Checks.due(roster, now, silence)
      .map(({ id }) => id)
      .toSorted()
      .join("")
  const check = (name: string, outcome: Outcome.Outcome, now: number, after = 5) => {
    const begun = Checks.start(roster, member(name), now)
    Checks.settle(roster, begun, outcome, now + after, random)
  }
  /** Takes an instance out. */
  const eject = (name: string, now: number) => {
    record(roster.load, member(name).slot, Outcome.refused, 1, now)
    check(name, Outcome.refused, now)
  }
  return { roster, random, member, due, check, eject }
}

describe("Checks", () => {
  it("are due for those that nothing was heard of, and not for those that are busy or answered", () => {
    const { due, member, roster } = setUp()
    assert.strictEqual(due(9999), "")
    assert.strictEqual(due(10_000), "abc")
    Load.start(roster.load, member("a").slot)
    record(roster.load, member("b").slot, Outcome.succeeded, 20, 9000)
    assert.strictEqual(due(10_000), "c")
  })

  it("are due for one that is out as soon as it may be tried, and while one is on its way no request tries it", () => {
    const { due, eject, member, random, roster } = setUp()
    eject("a", 0)
    assert.strictEqual(member("a").health._tag, "Ejected")
    assert.strictEqual(due(400), "")
    assert.strictEqual(due(1100), "a")
    const begun = Checks.start(roster, member("a"), 1100)
    assert.strictEqual(due(1100), "")
    for (let request = 0; request < 50; request++) {
      assert.notStrictEqual(Attempt.pick(roster, 1100, random, true)?.member.id, id("a"))
    }
    Checks.settle(roster, begun, Outcome.succeeded, 1105, random)
    assert.strictEqual(member("a").health._tag, "Warming")
  })

  it("that fail keep an instance out for longer, and take one out that nobody is at", () => {
    const { check, due, eject, member } = setUp()
    eject("a", 0)
    check("a", Outcome.failed, 1100)
    assert.deepInclude(member("a").health, { _tag: "Ejected", attempt: 2 })
    assert.strictEqual(due(1400), "")

    const idle = setUp()
    idle.check("b", Outcome.refused, 20_000)
    assert.strictEqual(idle.member("b").health._tag, "Ejected")
  })

  it("that fail often enough take an instance out as requests do", () => {
    const { check, due, member } = setUp()
    for (let n = 1; n <= 5; n++) {
      assert.strictEqual(member("a").health._tag, "Healthy")
      check("a", Outcome.failed, 10_000 + n * 1000)
      if (n < 5) assert.include(due(10_500 + n * 1000), "a", "soon again")
    }
    assert.strictEqual(member("a").health._tag, "Ejected")
  })

  it("that succeed are no requests: nothing is measured by them and nothing is in flight", () => {
    const { check, member, roster } = setUp()
    const before = structuredClone(roster.load.hot)
    check("a", Outcome.succeeded, 10_000, 1)
    assert.deepStrictEqual(roster.load.hot, before)

    const back = setUp()
    back.eject("a", 0)
    back.check("a", Outcome.succeeded, 2000, 1)
    assert.strictEqual(member("a").health._tag, "Healthy")
    assert.isFalse(Load.isKnown(back.roster.load, back.member("a").slot), "its latency is found out by requests")
    assert.strictEqual(back.roster.load.inFlight, 0)
  })

  it("that were interrupted say nothing", () => {
    const { check, due, eject, member } = setUp()
    eject("a", 0)
    check("a", Outcome.interrupted, 2000)
    assert.strictEqual(member("a").health._tag, "Ejected")
    assert.strictEqual(due(2010), "a")
  })

  it("that say nothing after a while cancel the probe, and leave what is known of an instance in use as it was", () => {
    const { check, due, eject, member, roster } = setUp()
    eject("a", 0)
    check("a", Outcome.interrupted, 2000, 900)
    assert.deepInclude(member("a").health, { _tag: "Ejected", attempt: 1 })
    assert.strictEqual(due(2900), "a")
    const before = structuredClone(roster.load.hot)
    check("b", Outcome.interrupted, 10_000, 900)
    assert.deepStrictEqual(roster.load.hot, before)
  })

  it("that fail now and then, with successes between, take nobody out", () => {
    const { check, member } = setUp()
    for (let n = 0; n < 5; n++) {
      check("a", Outcome.failed, 10_000 + n * 60_000)
      check("a", Outcome.succeeded, 11_000 + n * 60_000)
    }
    assert.strictEqual(member("a").health._tag, "Healthy")
  })

  it("of an instance that left meanwhile change nothing", () => {
    const { member, random, roster } = setUp()
    const begun = Checks.start(roster, member("a"), 20_000)
    Roster.apply(roster, Snapshot.make([endpoint("b", { port: 2 })]), 20_001, epoch)
    Checks.settle(roster, begun, Outcome.refused, 20_002, random)
    assert.strictEqual(roster.members.size, 1)
    assert.strictEqual(roster.ejected.size, 0)
  })
})
