import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, HashMap, Schema } from "effect"
import { type Change, Guard, Policy, Snapshot } from "@muster/core"
import { delta, endpoint, id, listing, Move, Put } from "./fixtures/arbitrary.ts"

const options = Policy.MassRemoval.defaultValue()
const maxHold = Duration.toMillis(options.maxHold)
const confirmAfter = Duration.toMillis(options.confirmAfter)

const names = (count: number) => Array.from({ length: count }, (_, i) => `i${i}`)
const of = (ids: ReadonlyArray<string>) =>
  Guard.replace(
    Guard.empty,
    ids.map((name, i) => endpoint(name, { port: 1000 + i }))
  )
const listed = (name: string) => endpoint(name, { port: 1000 + Number(name.slice(1)) })
const removed = (...ids: ReadonlyArray<string>): ReadonlyArray<Change.Delta> =>
  ids.map((name) => ({ _tag: "Removed", id: id(name) }))
const put = (...endpoints: ReadonlyArray<ReturnType<typeof endpoint>>): ReadonlyArray<Change.Delta> =>
  endpoints.map((endpoint) => ({ _tag: "Put", endpoint }))
const apply = (guarded: Guard.Guarded, deltas: ReadonlyArray<Change.Delta>, at: number) =>
  Guard.apply(guarded, deltas, at, options)
const held = (guarded: Guard.Guarded) => [...HashMap.keys(guarded.held)].toSorted()
const pickable = (guarded: Guard.Guarded) => [...HashMap.keys(guarded.snapshot.endpoints)].toSorted()

describe("Guard", () => {
  it("believes one departure of three", () => {
    assert.deepStrictEqual(pickable(apply(of(["a", "b", "c"]), removed("a"), 0)), ["b", "c"])
  })

  it("holds half of the instances when they vanish in one revision, and the earlier ones of the same 10 s", () => {
    const once = apply(of(names(4)), removed("i0", "i1"), 0)
    assert.deepStrictEqual(held(once), ["i0", "i1"])
    const first = apply(of(names(4)), removed("i0"), 0)
    assert.deepStrictEqual(pickable(first), ["i1", "i2", "i3"])
    const second = apply(first, removed("i1"), 9_999)
    assert.deepStrictEqual(held(second), ["i0", "i1"])
    assert.deepStrictEqual(pickable(second), names(4))
    const later = apply(first, removed("i1"), 10_000)
    assert.deepStrictEqual(held(later), [])
  })

  it("goes on holding what follows a mass departure within its window", () => {
    const half = apply(of(names(10)), removed("i0", "i1", "i2", "i3", "i4"), 0)
    const more = apply(half, removed("i5"), 5_000)
    assert.deepStrictEqual(held(more), ["i0", "i1", "i2", "i3", "i4", "i5"])
  })

  it("after an outage holds whoever vanishes, however few, for as long as departures count as one event", () => {
    const back = Guard.doubt(apply(of(names(9)), removed("i0"), 999), 1_000)
    assert.deepStrictEqual(pickable(back), names(9).slice(1))
    const one = apply(back, removed("i1"), 1_000)
    assert.deepStrictEqual([held(one), pickable(one)], [["i1"], names(9).slice(1)])
    const two = apply(one, removed("i2"), 10_999)
    assert.deepStrictEqual(held(two), ["i1", "i2"])
    assert.deepStrictEqual(pickable(apply(two, removed("i3"), 11_000)), ["i1", "i2", ...names(9).slice(4)])
    const missed = Guard.reset(back, names(9).slice(2).map(listed), new Set(), 1_000, options)
    assert.deepStrictEqual(held(missed), ["i1"])
  })

  it("after an outage holds whoever is missing at that very moment, whatever the digits of the clock", () => {
    for (let n = 1; n < 100; n++) {
      const at = n * 7012.3456789
      const missing = Guard.reset(Guard.doubt(of(names(9)), at), names(9).slice(1).map(listed), new Set(), at, options)
      assert.deepStrictEqual(held(missing), ["i0"])
    }
  })

  it("after an outage lets go who announced it, and who was restarted", () => {
    const back = Guard.doubt(of(["a", "b", "c"]), 0)
    const leaving = apply(back, put(endpoint("a", { port: 1000, draining: true })), 1)
    assert.deepStrictEqual(held(apply(leaving, removed("a"), 2)), [])
    const restarted = apply(back, put(endpoint("new", { port: 1000 })), 1)
    assert.deepStrictEqual([held(apply(restarted, removed("a"), 2)), held(apply(back, removed("a"), 2))], [[], ["a"]])
  })

  it("holds the last one of a set that becomes empty", () => {
    assert.deepStrictEqual(held(apply(of(["a"]), removed("a"), 0)), ["a"])
    assert.deepStrictEqual(pickable(apply(of(["a"]), removed("a"), 0)), ["a"])
  })

  it("holds nobody when 10 become 2 by draining", () => {
    let guarded = of(names(10))
    for (const name of names(8)) {
      const at = Number(name.slice(1)) * 100
      const announced = endpoint(name, { port: 1000 + Number(name.slice(1)), draining: true })
      guarded = apply(apply(guarded, put(announced), at), removed(name), at + 50)
      assert.deepStrictEqual(held(guarded), [])
    }
    assert.deepStrictEqual(pickable(guarded), ["i8", "i9"])
  })

  it("lets the last draining one go: an announced departure may empty the set", () => {
    const draining = apply(of(["a"]), put(endpoint("a", { port: 1000, draining: true })), 0)
    assert.deepStrictEqual(pickable(apply(draining, removed("a"), 1)), [])
  })

  it("counts draining ones neither as departed nor as remaining", () => {
    const three = apply(of(names(5)), put(...["i0", "i1", "i2"].map((name) => endpoint(name, { draining: true }))), 0)
    assert.strictEqual(three.draining, 3)
    assert.deepStrictEqual(held(apply(three, removed("i3", "i4"), 0)), ["i3", "i4"])
  })

  it("ends a hold when the instance is put again, without ever removing it", () => {
    const guarded = apply(of(names(4)), removed("i0", "i1"), 0)
    const back = apply(guarded, put(endpoint("i0", { port: 1000 })), 1)
    assert.deepStrictEqual(held(back), ["i1"])
    assert.strictEqual(back.snapshot, guarded.snapshot)
  })

  it("F-s10: ends a hold when its address is put under another id: it was restarted", () => {
    const guarded = apply(of(names(4)), removed("i0", "i1"), 0)
    const restarted = apply(guarded, put(endpoint("new", { port: 1000 })), 1)
    assert.deepStrictEqual(held(restarted), ["i1"])
    assert.deepStrictEqual(pickable(restarted), ["i1", "i2", "i3", "new"])
  })

  it("does not take a restart under new ids for a mass departure", () => {
    const swapped = apply(
      of(["a", "b"]),
      [...removed("a", "b"), ...put(endpoint("c", { port: 1000 }), endpoint("d", { port: 1001 }))],
      0
    )
    assert.deepStrictEqual([held(swapped), pickable(swapped)], [[], ["c", "d"]])
    const overlapping = apply(of(["a", "b"]), put(endpoint("c", { port: 1000 }), endpoint("d", { port: 1001 })), 0)
    assert.deepStrictEqual(held(apply(overlapping, removed("a", "b"), 1)), [])
  })

  it("lets a held one go when its connection is refused, and only a held one", () => {
    const guarded = apply(of(names(4)), removed("i0", "i1"), 0)
    assert.deepStrictEqual(pickable(Guard.refused(guarded, id("i0"))), ["i1", "i2", "i3"])
    assert.strictEqual(Guard.refused(guarded, id("i3")), guarded)
  })

  it("believes a full read only some time after the departure", () => {
    const guarded = apply(of(names(4)), removed("i0", "i1"), 0)
    const rest = [endpoint("i2", { port: 1002 }), endpoint("i3", { port: 1003 })]
    const early = Guard.reset(guarded, rest, new Set(), confirmAfter - 1, options)
    assert.deepStrictEqual(held(early), ["i0", "i1"])
    const late = Guard.reset(early, rest, new Set(), confirmAfter, options)
    assert.deepStrictEqual([held(late), pickable(late)], [[], ["i2", "i3"]])
  })

  it("ends every hold after 60 s", () => {
    const guarded = apply(of(names(4)), removed("i0", "i1"), 1_000)
    assert.strictEqual(Guard.nextExpiry(guarded, options), 1_000 + maxHold)
    assert.strictEqual(Guard.expire(guarded, 1_000 + maxHold - 1, options), guarded)
    assert.deepStrictEqual(pickable(Guard.expire(guarded, 1_000 + maxHold, options)), ["i2", "i3"])
  })

  it("ends a hold at the very moment that it said, whatever the digits of the clock", () => {
    for (let n = 1; n < 100; n++) {
      const guarded = apply(of(names(4)), removed("i0", "i1"), n * 7012.3456789)
      const next = Guard.nextExpiry(guarded, options)
      assert.isDefined(next)
      assert.deepStrictEqual(held(Guard.expire(guarded, next, options)), [])
    }
  })

  it("keeps what a full read could not read", () => {
    const rest = [endpoint("i1", { port: 1001 }), endpoint("i2", { port: 1002 })]
    const read = Guard.reset(of(names(3)), rest, new Set([id("i0")]), 0, options)
    assert.deepStrictEqual(pickable(read), names(3))
  })

  it("F-local-j: 3 000 leases that expire one by one are held from the threshold on", () => {
    let guarded = of(names(4_000))
    for (let i = 0; i < 3_000; i++) guarded = apply(guarded, removed(`i${i}`), i)
    assert.strictEqual(HashMap.size(guarded.held), 3_000)
    assert.strictEqual(Snapshot.size(guarded.snapshot), 4_000)
  })

  it("F-c4: forgets departures of long ago under steady churn", () => {
    let guarded = of(names(1_000))
    for (let i = 0; i < 20_000; i++) {
      guarded = apply(guarded, removed(`i${i % 1_000}`), i * 100)
      guarded = apply(guarded, put(endpoint(`n${i}`, { port: 1 + (i % 60_000) })), i * 100)
      guarded = apply(guarded, removed(`n${i}`), i * 100 + 50)
      guarded = apply(guarded, put(endpoint(`i${i % 1_000}`, { port: 1000 + (i % 1_000) })), i * 100 + 60)
    }
    assert.isBelow(HashMap.size(guarded.recent), 300)
    assert.strictEqual(Snapshot.size(guarded.snapshot), 1_000)
  })

  it.prop("a full read is idempotent", [Schema.Array(Put), Schema.Array(Put)], ([before, after]) => {
    const once = Guard.reset(Guard.replace(Guard.empty, listing(before)), listing(after), new Set(), 1_000, options)
    const twice = Guard.reset(once, listing(after), new Set(), 1_000, options)
    assert.strictEqual(twice.snapshot, once.snapshot)
    assert.deepStrictEqual(held(twice), held(once))
  })

  const Revisions = Schema.Array(Schema.Struct({ wait: Schema.Literals([0, 1_000, 9_000]), moves: Schema.Array(Move) }))

  it.effect.prop(
    "converges to the registry, holds only what it lists no more, and never what was draining",
    [Revisions],
    ([revisions]) =>
      Effect.sync(() => {
        let guarded = Guard.empty
        let at = 0
        const listed = new Map<string, ReturnType<typeof endpoint>>()
        for (const { wait, moves } of revisions) {
          at += wait
          const wasDraining = new Set([...listed.values()].filter(({ draining }) => draining).map(({ id }) => id))
          const heldBefore = new Set(held(guarded))
          for (const change of moves.map(delta)) {
            if (change._tag === "Put") listed.set(change.endpoint.id, change.endpoint)
            else listed.delete(change.id)
          }
          guarded = apply(guarded, moves.map(delta), at)
          for (const endpoint of listed.values()) assert.isTrue(HashMap.has(guarded.snapshot.endpoints, endpoint.id))
          for (const name of held(guarded)) {
            assert.isFalse(listed.has(name))
            assert.isTrue(heldBefore.has(name) || !wasDraining.has(name))
          }
          assert.strictEqual(Snapshot.size(guarded.snapshot), listed.size + HashMap.size(guarded.held))
          assert.strictEqual(guarded.draining, [...listed.values()].filter(({ draining }) => draining).length)
        }
        const settled = Guard.expire(guarded, at + maxHold, options)
        assert.deepStrictEqual(pickable(settled), [...listed.keys()].toSorted())
        assert.isTrue(HashMap.isEmpty(settled.held))
      })
  )
})
