import { assert, describe, it } from "@effect/vitest"
import { Attempt, Endpoint, Pick, Recent, Roster, Snapshot } from "@muster/core"
import { defaults, endpoint, epoch } from "./fixtures/instances.ts"
import { seeded } from "./fixtures/seeded.ts"

const names = (choice: ReturnType<typeof Roster.choices>[number]) =>
  choice.compared.map(({ endpoint }) => endpoint.id).toSorted()

const rosterOf = (...ids: ReadonlyArray<string>) => rosterWith(Pick.p2c, ids)

const rosterWith = (policy: Pick.Policy, ids: ReadonlyArray<string>) => {
  const roster = Roster.make({ ...defaults, policy }, () => {})
  const snapshot = Snapshot.make(ids.map((id, n) => endpoint(id, { port: n + 1 })))
  Roster.apply(roster, snapshot, 0, epoch)
  return { roster, snapshot, random: seeded(3) }
}

describe("Recent", () => {
  it("shows the last choices, the newest first, with what the compared instances would have cost", () => {
    const { roster, random } = rosterOf("a", "b")
    const picks = [1, 2, 3].map((now) => Attempt.pick(roster, now, random, true))
    const choices = Roster.choices(roster)
    assert.deepStrictEqual(
      choices.map(({ at, endpoint }) => [at, endpoint.id]),
      picks.map((pick, n) => [n + 1, pick?.member.id]).toReversed()
    )
    for (const choice of choices) assert.deepStrictEqual(names(choice), ["a", "b"])
    for (const { compared, endpoint } of choices) {
      const own = compared.find((one) => one.endpoint === endpoint)?.cost ?? NaN
      assert.isTrue(compared.every(({ cost }) => own <= cost * 1.5))
    }
  })

  it("shows with hotCold the choice and the last one that it was better than, and what both would have cost", () => {
    const { roster, random } = rosterWith(Pick.hotCold, ["a", "b", "c", "d", "e"])
    for (let now = 1; now <= 20; now++) Attempt.pick(roster, now, random, true)
    const choices = Roster.choices(roster)
    assert.strictEqual(choices.length, 20)
    for (const { compared, endpoint } of choices) {
      assert.strictEqual(compared.length, 2)
      assert.strictEqual(compared[0]?.endpoint, endpoint)
      assert.notStrictEqual(compared[1]?.endpoint, endpoint)
      assert.isTrue(compared.every(({ cost }) => cost > 0))
    }
  })

  it("shows no comparison of an earlier choice with one that compared nothing", () => {
    const { roster, snapshot, random } = rosterOf("a", "b")
    for (let now = 1; now <= 100; now++) Attempt.pick(roster, now, random, true)
    Roster.apply(roster, Snapshot.apply(snapshot, [{ _tag: "Removed", id: Endpoint.InstanceId.make("b") }]), 101, epoch)
    Attempt.pick(roster, 102, random, true)
    assert.deepStrictEqual(Roster.choices(roster)[0]?.compared, [])
    assert.strictEqual(Roster.choices(roster)[1]?.at, 100)
  })

  it("remembers 63 choices, and nothing of an instance whose place was taken", () => {
    const { roster, snapshot, random } = rosterOf("a")
    for (let now = 1; now <= 200; now++) {
      const attempt = Attempt.pick(roster, now, random, true)
      if (attempt !== undefined) Attempt.end(roster, attempt)
    }
    assert.strictEqual(Roster.choices(roster).length, 63)
    assert.deepStrictEqual(Roster.choices(roster)[0]?.compared, [])
    assert.deepStrictEqual([Roster.choices(roster)[0]?.at, Roster.choices(roster)[62]?.at], [200, 138])
    const replaced = Snapshot.apply(snapshot, [
      { _tag: "Removed", id: Endpoint.InstanceId.make("a") },
      { _tag: "Put", endpoint: endpoint("b", { port: 2 }) }
    ])
    Roster.apply(roster, replaced, 201, epoch)
    assert.deepStrictEqual(Roster.choices(roster), [])
    assert.deepStrictEqual(Recent.list(Recent.make()), [])
  })
})
