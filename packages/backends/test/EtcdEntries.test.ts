import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { leases, put, why, word, world } from "./fixtures/etcdClient.ts"
import * as EtcdServer from "./fixtures/EtcdServer.ts"
import { changed, instance, reset } from "./RegistryContract.ts"

const text = JSON.stringify(instance(1))

/** What an operator may have left below the prefix: under which key, and what is told of it. */
const strange: ReadonlyArray<readonly [key: string, value: Buffer, id: string | undefined]> = [
  ["muster/orders/bytes", Buffer.from(text.replace("i-1", "bytes").replace("{}", '{"x":"\u00ff"}'), "latin1"), "bytes"],
  ["muster/orders/huge", Buffer.from(text.replace("i-1", "huge").replace("{}", `{"x":"${"x".repeat(1e6)}"}`)), "huge"],
  ["muster/orders/nested/i-1", Buffer.from(text), undefined],
  ["muster/orders/", Buffer.from(text), undefined],
  ["muster/orders/ü", Buffer.from(text), undefined],
  ["muster/orders/empty", Buffer.alloc(0), "empty"]
]

describe.skipIf(EtcdServer.isMissing)("strange entries in etcd", () => {
  it.live("F-etcd-i: are skipped with their key and their problem, when listed and when they appear", () =>
    Effect.gen(function* () {
      const { client, operator } = yield* world()
      const write = (key: string, value: Buffer) => Effect.promise(() => operator.put(key).value(value))
      yield* put(operator, 1)
      const queue = yield* client.follow()
      yield* reset(queue)
      for (const [key, value, id] of strange) {
        yield* write(key, value)
        const { deltas, skipped } = yield* changed(queue)
        assert.deepStrictEqual(deltas, [])
        assert.deepStrictEqual(
          skipped.map((one) => [one.key, one.id]),
          [[key, id]]
        )
        assert.isTrue(skipped.every(({ problem }) => problem.length > 0 && problem.length < 500))
      }
      // These are no entries of this service at all.
      for (const key of ["muster/orders", "muster/ordersx/i-1", "muster/order/i-1", "musterorders/i-1"]) {
        yield* write(key, Buffer.from(text))
      }
      const { endpoints, skipped } = yield* Effect.scoped(Effect.flatMap(client.follow(), reset))
      assert.deepStrictEqual(
        endpoints.map(({ id }) => id),
        [instance(1).id]
      )
      assert.deepStrictEqual(skipped.map(({ key }) => key).toSorted(), strange.map(([key]) => key).toSorted())
      // Their going is nobody's loss either, unless the key names an instance.
      for (const [key] of strange) {
        yield* Effect.promise(() => operator.delete().key(key))
        const { deltas, skipped } = yield* changed(queue)
        assert.deepStrictEqual(skipped, [])
        assert.isTrue(deltas.every((delta) => delta._tag === "Removed" && key.endsWith(`/${delta.id}`)))
      }
      yield* put(operator, 2)
      assert.strictEqual(word(yield* changed(queue)), "+i-2")
    })
  )

  it.live(
    "F-etcd-i: what nobody would read is not written: a registration or an update of more than 64 KiB fails",
    () =>
      Effect.gen(function* () {
        const { client, operator } = yield* world()
        const large = instance(1, { metadata: { text: "x".repeat(70_000) } })
        const refused = yield* Effect.flip(client.registry.register(large, Duration.seconds(20)))
        assert.strictEqual(refused.reason._tag, "Unreadable")
        assert.isFalse(refused.isTransient)
        assert.deepStrictEqual(yield* leases(operator), [])
        const lease = yield* client.registry.register(instance(1), Duration.seconds(20))
        assert.strictEqual(yield* why(client.registry.update(lease, large)), "Unreadable")
        const { endpoints } = yield* Effect.scoped(Effect.flatMap(client.follow(), reset))
        assert.deepStrictEqual(endpoints, [instance(1)])
      })
  )
})
