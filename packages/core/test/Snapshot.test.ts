import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Endpoint, Snapshot } from "@muster/core"
import { delta, endpoint, id, listing, Move, Put } from "./fixtures/arbitrary.ts"

const byId = (snapshot: Snapshot.Snapshot) =>
  Snapshot.endpoints(snapshot)
    .map((endpoint) => JSON.stringify(endpoint))
    .toSorted()

describe("Snapshot", () => {
  it.prop(
    "applying the difference gives the other: apply(a, diff(a, b)) = b",
    [Schema.Array(Put), Schema.Array(Put)],
    ([a, b]) => {
      const from = Snapshot.make(listing(a))
      const to = Snapshot.make(listing(b))
      assert.deepStrictEqual(byId(Snapshot.apply(from, Snapshot.diff(from, to))), byId(to))
    }
  )

  it.prop("agrees with a plain map, delta by delta", [Schema.Array(Move)], ([moves]) => {
    const model = new Map<string, Endpoint.Endpoint>()
    let snapshot = Snapshot.empty
    for (const change of moves.map(delta)) {
      if (change._tag === "Put") model.set(change.endpoint.id, change.endpoint)
      else model.delete(change.id)
      snapshot = Snapshot.apply(snapshot, [change])
    }
    assert.deepStrictEqual(byId(snapshot), [...model.values()].map((endpoint) => JSON.stringify(endpoint)).toSorted())
  })

  it.prop(
    "following `changes` version by version gives the same endpoints",
    [Schema.Array(Schema.Array(Move))],
    ([revisions]) => {
      let snapshot = Snapshot.empty
      let follower = Snapshot.empty
      for (const revision of revisions) {
        const next = Snapshot.apply(snapshot, revision.map(delta))
        if (next.version === snapshot.version + 1) follower = Snapshot.apply(follower, next.changes)
        else assert.strictEqual(next, snapshot)
        snapshot = next
      }
      assert.deepStrictEqual(byId(follower), byId(snapshot))
    }
  )

  it("tells a reader what changed since, also one that knows the same version of another history", () => {
    const one = Snapshot.make([endpoint("a")])
    const two = Snapshot.apply(one, [{ _tag: "Put", endpoint: endpoint("b") }])
    assert.strictEqual(Snapshot.since(two, one), two.changes)
    assert.deepStrictEqual(Snapshot.since(two, two), [])
    const other = Snapshot.make([endpoint("z")])
    assert.strictEqual(other.version, one.version)
    assert.deepStrictEqual(byId(Snapshot.apply(other, Snapshot.since(two, other))), byId(two))
  })

  it("keeps its reference when nothing changes", () => {
    const snapshot = Snapshot.make([endpoint("a", { metadata: { rack: "1" } })])
    assert.strictEqual(Snapshot.apply(snapshot, [{ _tag: "Removed", id: id("z") }]), snapshot)
    assert.strictEqual(
      Snapshot.apply(snapshot, [{ _tag: "Put", endpoint: endpoint("a", { metadata: { rack: "1" } }) }]),
      snapshot
    )
    assert.deepStrictEqual(Snapshot.diff(snapshot, Snapshot.make([endpoint("a", { metadata: { rack: "1" } })])), [])
  })

  it("tells any difference of two endpoints", () => {
    const other = {
      host: "127.0.0.2",
      port: 81,
      weight: 2,
      zone: "b",
      version: "2",
      startedAt: 5,
      draining: true,
      metadata: { rack: "2" }
    }
    const a = endpoint("a", { metadata: { rack: "1" } })
    for (const [field, value] of Object.entries(other)) {
      const b = new Endpoint.Endpoint({ ...a, [field]: value })
      assert.isFalse(Endpoint.same(a, b), field)
      assert.isTrue(Endpoint.same(b, new Endpoint.Endpoint({ ...b })), field)
    }
  })
})

describe("Endpoint", () => {
  it("fills what an older writer leaves out and refuses what is malformed, saying where", () => {
    const decode = Schema.decodeUnknownSync(Endpoint.EndpointFromJson)
    const decoded = decode(`{"service":"orders","id":"a","host":"::1","port":80}`)
    assert.deepInclude({ ...decoded }, { weight: 1, startedAt: 0, draining: false })
    assert.strictEqual(decoded.address, "[::1]:80")
    for (const [text, where] of [
      [`{"service":"Orders","id":"a","host":"h","port":80}`, "service"],
      [`{"service":"orders","id":"a/b","host":"h","port":80}`, "id"],
      [`{"service":"orders","id":"a","host":"","port":80}`, "host"],
      [`{"service":"orders","id":"a","host":"h","port":0}`, "port"],
      [`{"service":"orders","id":"a","host":"h","port":65536}`, "port"],
      [`{"service":"orders","id":"a","host":"h","port":80,"weight":-1}`, "weight"],
      [`{"service":"orders","id":"a","host":"h"}`, "port"]
    ] as const) {
      assert.throws(() => decode(text), new RegExp(where))
    }
    assert.throws(() => decode(`{"service":`))
  })
})
