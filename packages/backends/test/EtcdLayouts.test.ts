import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Queue } from "effect"
import type { Etcd3 } from "etcd3"
import { Endpoint } from "@muster/core"
import { connect, leases, type Patience, why, word } from "./fixtures/etcdClient.ts"
import * as EtcdServer from "./fixtures/EtcdServer.ts"
import { changed, instance, reset } from "./RegistryContract.ts"

const long = Duration.seconds(20)

const entries = (operator: Etcd3) => Effect.promise(() => operator.getAll().strings())
const write = (operator: Etcd3, key: string, value: string) => Effect.promise(() => operator.put(key).value(value))
const remove = (operator: Etcd3, key: string) => Effect.promise(() => operator.delete().key(key))

const world = Effect.fnUntraced(function* (options: Parameters<typeof connect>[1], patience?: Patience) {
  const server = yield* EtcdServer.make()
  const operator = yield* EtcdServer.operator([server.address])
  return { server, operator, client: yield* connect([server.address], options, patience) }
})

/** How each of them writes an instance, and under which key another program may have put it. */
const dialects = [
  {
    layout: "go-zero",
    key: (n: number, _address: string) => `orders/${7587854123 + n}`,
    value: (address: string) => address
  },
  {
    layout: "grpc",
    key: (n: number, address: string) => `orders/${n === 0 ? address : `pod-${n}`}`,
    value: (address: string) => JSON.stringify({ Op: 0, Addr: address, Metadata: { tier: "gold" } })
  }
] as const

describe.skipIf(EtcdServer.isMissing)("layouts of others in etcd", () => {
  for (const { key, layout, value } of dialects) {
    it.live(`${layout}: discovers what others registered; one address is one instance until its last entry goes`, () =>
      Effect.gen(function* () {
        const { client, operator, server } = yield* world({ layout })
        const put = (n: number, address: string) => write(operator, key(n, address), value(address))
        yield* put(1, "10.0.0.1:80")
        yield* put(2, "10.0.0.1:80")
        yield* put(3, "[2001:db8::1]:81")
        yield* write(operator, "orders/malformed", "no address")
        yield* write(operator, "orders/port", value("10.0.0.9:0"))
        yield* write(operator, "orders.v2/1", value("10.0.0.8:80"))
        const queue = yield* client.follow()
        const { cursor, endpoints, skipped } = yield* reset(queue)
        assert.deepStrictEqual(endpoints.map(({ id }) => id).toSorted(), ["10.0.0.1:80", "[2001:db8::1]:81"])
        assert.deepStrictEqual(skipped.map((one) => one.key).toSorted(), ["orders/malformed", "orders/port"])
        const [first] = endpoints.filter(({ port }) => port === 80)
        assert.deepStrictEqual(
          first,
          new Endpoint.Endpoint({
            service: instance(1).service,
            id: Endpoint.InstanceId.make("10.0.0.1:80"),
            host: "10.0.0.1",
            port: 80,
            metadata: layout === "grpc" ? { tier: "gold" } : {}
          })
        )
        yield* remove(operator, key(1, "10.0.0.1:80"))
        assert.strictEqual(word(yield* changed(queue)), "")
        yield* remove(operator, key(2, "10.0.0.1:80"))
        assert.strictEqual(word(yield* changed(queue)), "-10.0.0.1:80")
        // One entry that moves is one change: the new address comes with the going of the old one.
        yield* put(3, "10.0.0.3:80")
        assert.strictEqual(word(yield* changed(queue)), "-[2001:db8::1]:81,+10.0.0.3:80")
        yield* write(operator, key(3, ""), "spoilt")
        const spoilt = yield* changed(queue)
        assert.deepStrictEqual([word(spoilt), spoilt.skipped.map(({ id }) => String(id))], ["", ["10.0.0.3:80"]])
        // A resume knows what was there: whose deletion it hears of, and whose not.
        yield* server.kill
        yield* Effect.flip(Queue.take(queue))
        yield* server.start
        const again = yield* client.follow(cursor)
        assert.deepStrictEqual((yield* Queue.takeN(again, 5)).map(word), [
          "Resumed",
          "",
          "-10.0.0.1:80",
          "-[2001:db8::1]:81,+10.0.0.3:80",
          ""
        ])
        yield* remove(operator, key(3, ""))
        assert.strictEqual(word(yield* changed(again)), "-10.0.0.3:80")
      })
    )

    it.live(`${layout}: registers as others do, withdraws before it waits, and leaves nothing`, () =>
      Effect.gen(function* () {
        const { client, operator } = yield* world({ layout })
        const queue = yield* client.follow()
        yield* reset(queue)
        const one = instance(80, { metadata: layout === "grpc" ? { tier: "gold" } : {} })
        const lease = yield* client.registry.register(one, long)
        const at = layout === "go-zero" ? `orders/${lease.id}` : `orders/${one.address}`
        assert.deepStrictEqual(yield* entries(operator), { [at]: value(one.address) })
        assert.strictEqual(word(yield* changed(queue)), `+${one.address}`)
        yield* client.registry.renew(lease)
        yield* client.registry.update(lease, one.asDraining())
        assert.strictEqual(word(yield* changed(queue)), `-${one.address}`)
        assert.deepStrictEqual(yield* entries(operator), {})
        assert.strictEqual(yield* why(client.registry.renew(lease)), "EntryMissing")
        yield* client.registry.revoke(lease)
        assert.deepStrictEqual(yield* leases(operator), [])
      })
    )

    it.live(`F-etcd-i: ${layout}: takes no instance of a deeper key for one of its own`, () =>
      Effect.gen(function* () {
        const { client, operator } = yield* world({ layout })
        const [first, second] = [`orders/${key(1, "10.0.0.1:80")}`, `orders/${key(2, "10.0.0.2:80")}`]
        yield* write(operator, first, value("10.0.0.1:80"))
        const queue = yield* client.follow()
        const { endpoints, skipped } = yield* reset(queue)
        assert.deepStrictEqual([endpoints, skipped.map((one) => one.key)], [[], [first]])
        yield* write(operator, second, value("10.0.0.2:80"))
        const change = yield* changed(queue)
        assert.deepStrictEqual([change.deltas, change.skipped.map((one) => one.key)], [[], [second]])
      })
    )

    it.live(`F-etcd-i: ${layout}: a full read of the same watch knows whose entry it was that is spoilt`, () =>
      Effect.gen(function* () {
        const { client, operator } = yield* world({ layout }, { spread: Duration.millis(200) })
        yield* write(operator, key(1, ""), value("10.0.0.1:80"))
        const { cursor } = yield* Effect.scoped(Effect.flatMap(client.follow(), reset))
        yield* write(operator, key(1, ""), "spoilt")
        const queue = yield* client.follow(cursor)
        const read = yield* Effect.repeat(Queue.take(queue), { until: (change) => change._tag === "Reset" })
        assert.deepStrictEqual(read._tag === "Reset" && read.skipped.map(({ id }) => String(id)), ["10.0.0.1:80"])
        yield* remove(operator, key(1, ""))
        assert.strictEqual(word(yield* changed(queue)), "-10.0.0.1:80")
      })
    )

    it.live(`${layout}: registers again without a moment of absence`, () =>
      Effect.gen(function* () {
        const { client, operator } = yield* world({ layout })
        const older = yield* client.registry.register(instance(80), long)
        const queue = yield* client.follow()
        yield* reset(queue)
        const newer = yield* client.registry.register(instance(80), long)
        yield* Effect.repeat(leases(operator), { until: (all) => all.length === 1 })
        assert.deepStrictEqual(yield* leases(operator), [newer.id])
        assert.strictEqual(yield* why(client.registry.renew(older)), "LeaseLost")
        yield* client.registry.renew(newer)
        yield* client.registry.revoke(newer)
        const said: Array<string> = []
        while (!said.includes(`-${instance(80).address}`)) said.push(word(yield* changed(queue)))
        assert.deepStrictEqual(
          said.filter((one) => one !== ""),
          [`-${instance(80).address}`]
        )
      })
    )
  }

  it.live("F-etcd-i: grpc: a spoilt entry under an address is that of its instance, from the first read on", () =>
    Effect.gen(function* () {
      const { client, operator } = yield* world({ layout: "grpc" })
      yield* write(operator, "orders/10.0.0.1:80", "spoilt")
      const queue = yield* client.follow()
      const { endpoints, skipped } = yield* reset(queue)
      assert.deepStrictEqual([endpoints, skipped.map(({ id }) => String(id))], [[], ["10.0.0.1:80"]])
      yield* remove(operator, "orders/10.0.0.1:80")
      assert.strictEqual(word(yield* changed(queue)), "-10.0.0.1:80")
    })
  )

  it.live("go-zero: keeps to its key and its id, and whoever took the id last has it", () =>
    Effect.gen(function* () {
      const { client, operator, server } = yield* world({ layout: "go-zero", key: "dev/Orders.rpc", id: 7 })
      const lease = yield* client.registry.register(instance(80), long)
      assert.deepStrictEqual(yield* entries(operator), { "dev/Orders.rpc/7": instance(80).address })
      yield* client.registry.renew(lease)
      const other = yield* connect([server.address], { layout: "go-zero", key: "dev/Orders.rpc", id: 7 })
      const second = yield* other.registry.register(instance(81), long)
      assert.strictEqual(yield* why(client.registry.renew(lease)), "Superseded")
      yield* other.registry.renew(second)
      yield* client.registry.revoke(lease)
      const { endpoints } = yield* Effect.flatMap(client.follow(), reset)
      assert.deepStrictEqual(
        endpoints.map(({ address }) => address),
        [instance(81).address]
      )
    })
  )

  it.live("keeps layouts below their prefixes apart", () =>
    Effect.gen(function* () {
      const { operator, server } = yield* world({})
      for (const options of [
        { prefix: "blue" },
        { layout: "go-zero", prefix: "green" },
        { layout: "grpc", prefix: "red" }
      ] as const) {
        const client = yield* connect([server.address], options)
        const lease = yield* client.registry.register(instance(80), long)
        const { endpoints } = yield* Effect.flatMap(client.follow(), reset)
        assert.deepStrictEqual(
          endpoints.map(({ address }) => address),
          [instance(80).address]
        )
        assert.isTrue(Object.keys(yield* entries(operator)).every((key) => key.startsWith(`${options.prefix}/orders/`)))
        yield* client.registry.revoke(lease)
      }
    })
  )
})
