import { assert, describe, it } from "@effect/vitest"
import { Duration, Result, Schema } from "effect"
import { Change, DiscoveryState, Endpoint, Policy, Remembered } from "@muster/core"
import { endpoint, listing, Put } from "./fixtures/arbitrary.ts"

const orders = Endpoint.ServiceName.make("orders")
const registry = "etcd://h1:2379,h2:2379?prefix=muster"
const day = Duration.days(1)

const step = DiscoveryState.step(Policy.MassRemoval.defaultValue())
const after = (...events: ReadonlyArray<DiscoveryState.Event>): DiscoveryState.Known => {
  const state = events.reduce(step, DiscoveryState.initial)
  if (!DiscoveryState.isKnown(state)) throw new Error("nothing known")
  return state
}
const reset = (at: number, ...endpoints: ReadonlyArray<Endpoint.Endpoint>): DiscoveryState.Event => ({
  _tag: "Reset",
  at,
  endpoints,
  cursor: Change.Cursor.make("1"),
  skipped: []
})
const lost = (at: number): DiscoveryState.Event => ({ _tag: "Disconnected", at, cause: { _tag: "Ended" } })
const begun = (at: number): DiscoveryState.Event => ({ _tag: "AttemptStarted", at })

const of = (state: DiscoveryState.Known, now: number) => Remembered.of(registry, orders, state, now, 1_000_000)
const ids = (remembered: Remembered.Remembered | undefined) => remembered?.endpoints.map(({ id }) => id).toSorted()

const kept = (endpoints: ReadonlyArray<Endpoint.Endpoint>): Remembered.Remembered => ({
  format: "muster-snapshot",
  version: 1,
  registry,
  service: orders,
  savedAt: 1_000_000,
  endpoints
})
const read = (text: string, at: { registry?: string; service?: Endpoint.ServiceName; wall?: number } = {}) =>
  Remembered.fromText(text, at.registry ?? registry, at.service ?? orders, at.wall ?? 1_000_000, day)
const refusal = (text: string, at?: Parameters<typeof read>[1]) => Result.getOrThrow(Result.flip(read(text, at)))

describe("Remembered", () => {
  it.prop("is read back as it was, and its text is what its schema encodes", [Schema.Array(Put)], ([puts]) => {
    const remembered = kept(listing(puts))
    const text = Remembered.toText(remembered)
    assert.deepStrictEqual(Result.getOrThrow(read(text)), remembered)
    assert.strictEqual(text, Schema.encodeSync(Schema.fromJsonString(Remembered.Remembered))(remembered))
  })

  it("refuses what was cut short at any byte", () => {
    const text = Remembered.toText(kept([endpoint("a"), endpoint("b")]))
    for (let length = 0; length < text.length; length++) {
      assert.match(refusal(text.slice(0, length)), /^it cannot be read: [^\n]*$/)
    }
  })

  it("refuses what is foreign: another format, version, registry or service, and endpoints of another service", () => {
    const text = Remembered.toText(kept([endpoint("a")]))
    for (const [from, to] of [
      [`"version":1`, `"version":2`],
      ["muster-snapshot", "snapshot"],
      [`"port":80`, `"port":0`]
    ] as const) {
      assert.match(refusal(text.replace(from, to)), /^it cannot be read/)
    }
    assert.strictEqual(refusal(text, { registry: "memory:" }), `it is of orders in ${registry}`)
    const users = Endpoint.ServiceName.make("users")
    assert.strictEqual(refusal(text, { service: users }), `it is of orders in ${registry}`)
    const mixed = Remembered.toText(kept([new Endpoint.Endpoint({ ...endpoint("a"), service: users })]))
    assert.strictEqual(refusal(mixed), "it has endpoints of other services")
  })

  it("refuses what is too old, and takes a clock that went back for no age at all", () => {
    const text = Remembered.toText(kept([endpoint("a")]))
    assert.isTrue(Result.isSuccess(read(text, { wall: 1_000_000 + Duration.toMillis(day) })))
    assert.strictEqual(
      refusal(text, { wall: 1_000_001 + Duration.toMillis(day) }),
      "it is 1d 1ms old, which is too old"
    )
    assert.isTrue(Result.isSuccess(read(text, { wall: 0 })))
  })

  it("is as of now while the registry is followed, and as of the loss afterwards", () => {
    assert.strictEqual(of(after(reset(0, endpoint("a"))), 5000)?.savedAt, 1_000_000)
    const frozen = after(reset(0, endpoint("a")), lost(2000))
    assert.strictEqual(of(frozen, 5000)?.savedAt, 997_000)
    assert.strictEqual(of(step(frozen, begun(4000)) as DiscoveryState.Known, 5000)?.savedAt, 997_000)
  })

  it("is nothing new while a remembered snapshot is all that is known", () => {
    const remembered: DiscoveryState.Event = { _tag: "Remembered", at: 1, endpoints: [endpoint("a")], savedAt: 7 }
    assert.isUndefined(of(after(remembered), 5000))
    assert.deepStrictEqual(ids(of(after(remembered, begun(2), reset(3, endpoint("b"))), 5000)), ["b"])
  })

  it("remembers who is held, for they may serve, and who drains only if there is nobody else", () => {
    const held = after(
      reset(0, endpoint("a", { port: 1 }), endpoint("b", { port: 2 })),
      reset(1, endpoint("c", { port: 3 }))
    )
    assert.deepStrictEqual(ids(of(held, 2)), ["a", "b", "c"])
    const leaving = [endpoint("a", { draining: true }), endpoint("b")]
    assert.deepStrictEqual(ids(of(after(reset(0, ...leaving)), 2)), ["b"])
    assert.deepStrictEqual(ids(of(after(reset(0, ...leaving.slice(0, 1))), 2)), ["a"])
  })

  it("has a key of its own for each registry and service, that any file system takes", () => {
    const long = Endpoint.ServiceName.make("x".repeat(253))
    const keys = [
      Remembered.key(registry, orders),
      Remembered.key("etcd://h1:2379", orders),
      Remembered.key(registry, Endpoint.ServiceName.make("orders-2")),
      Remembered.key(registry, long),
      Remembered.key(registry, Endpoint.ServiceName.make("x".repeat(252)))
    ]
    assert.strictEqual(new Set(keys).size, keys.length)
    for (const key of keys) assert.match(key, /^[a-z0-9._-]{1,209}$/)
  })
})
