import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Queue } from "effect"
import type { Etcd3 } from "etcd3"
import { connect, impatient, leases, put, timed, why, word, world } from "./fixtures/etcdClient.ts"
import * as EtcdServer from "./fixtures/EtcdServer.ts"
import * as TcpProxy from "./fixtures/TcpProxy.ts"
import { changed, instance, reset } from "./RegistryContract.ts"

const long = Duration.seconds(20)

const entry = (operator: Etcd3) =>
  Effect.promise(async () => (await operator.kv.range({ key: Buffer.from("muster/orders/i-1") })).kvs[0])

describe.skipIf(EtcdServer.isMissing)("leases in etcd", () => {
  it.live("F-etcd-a: renews the same lease after an outage, which it tells at once and does not sleep through", () =>
    Effect.gen(function* () {
      const { client, operator, server } = yield* world(impatient)
      const lease = yield* client.registry.register(instance(1), long)
      yield* server.kill
      const [told, tag] = yield* timed(why(client.registry.renew(lease)))
      assert.strictEqual(tag, "Unavailable")
      assert.isAtMost(told, 500)
      yield* server.launch
      // It comes back during the call, which waits for that.
      yield* Effect.retry(client.registry.renew(lease), { times: 20 })
      assert.deepStrictEqual(yield* leases(operator), [lease.id])
    })
  )

  it.live("F-etcd-a: tells why, and fails at its deadline, for as long as the outage lasts", () =>
    Effect.gen(function* () {
      const [port = 0] = yield* EtcdServer.freePorts(1)
      const client = yield* connect([`127.0.0.1:${port}`], {}, impatient)
      for (let n = 0; n < 3; n++) {
        const [took, error] = yield* timed(Effect.flip(client.register(1)))
        assert.strictEqual(error.reason._tag, "Unavailable")
        assert.strictEqual(error.reason.message, `connect ECONNREFUSED 127.0.0.1:${port}`)
        assert.isAtMost(took, 2000)
      }
    })
  )

  it.live("carries all leases over one stream of one connection, and leaves no other behind", () =>
    Effect.gen(function* () {
      const { client, operator, proxy } = yield* world()
      const all = yield* Effect.forEach(Array(200).keys(), (n) => client.registry.register(instance(n), long), {
        concurrency: 20
      })
      yield* Effect.forEach(all, client.registry.renew, { concurrency: "unbounded", discard: true })
      assert.strictEqual(proxy.connections().ever, 1)
      assert.strictEqual((yield* leases(operator)).length, 200)
      yield* Effect.forEach(all, client.registry.revoke, { concurrency: 20, discard: true })
      assert.deepStrictEqual(yield* leases(operator), [])
    })
  )

  it.live("renews also where nothing that is unused is kept", () =>
    Effect.gen(function* () {
      const { client } = yield* world({ idleAfter: Duration.zero })
      const lease = yield* client.registry.register(instance(1), long)
      for (const _ of Array(5).keys()) yield* client.registry.renew(lease)
    })
  )

  it.live("F-etcd-e: does not blame the member when a watch ends because nobody follows it any more", () =>
    Effect.gen(function* () {
      const { client, proxy } = yield* world()
      for (const n of Array(5).keys()) {
        yield* Effect.scoped(Effect.flatMap(client.follow(), Queue.take))
        yield* client.registry.register(instance(n), long)
      }
      assert.strictEqual(proxy.connections().ever, 1)
    })
  )

  it.live("takes the time to live that etcd grants, not the one it asked for", () =>
    Effect.gen(function* () {
      const server = yield* EtcdServer.make({ flags: ["--heartbeat-interval=100", "--election-timeout=2000"] })
      const client = yield* connect([server.address])
      const lease = yield* client.registry.register(instance(1), Duration.seconds(1))
      assert.strictEqual(Duration.toSeconds(lease.ttl), 3)
    })
  )

  it.live("F-etcd-n: however far a registration got whose answers were lost, trying again makes no second lease", () =>
    Effect.gen(function* () {
      const { client, operator, proxy } = yield* world(impatient)
      // Before the grant is answered, before the entry is, and after both.
      for (const delay of [0, 15, 30, 45, 60, 75, 90]) {
        yield* proxy.delay(20)
        const attempt = yield* Effect.forkChild(Effect.exit(client.registry.register(instance(1), long)))
        yield* Effect.sleep(delay)
        yield* proxy.blackHole("toClient")
        const exit = yield* Fiber.join(attempt)
        yield* proxy.heal
        const lease = exit._tag === "Success" ? exit.value : yield* client.registry.register(instance(1), long)
        assert.deepStrictEqual(yield* leases(operator), [lease.id])
        assert.strictEqual((yield* entry(operator))?.lease, lease.id)
        yield* client.registry.revoke(lease)
        assert.isUndefined(yield* entry(operator))
      }
    })
  )

  it.live("F-etcd-n: a client that dies between the grant and the entry leaves a lease that runs out", () =>
    Effect.gen(function* () {
      const server = yield* EtcdServer.make()
      const proxy = yield* TcpProxy.make(server.port)
      const operator = yield* EtcdServer.operator([server.address])
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { follow, register } = yield* connect([proxy.address])
          yield* Effect.scoped(Effect.flatMap(follow(), reset))
          // The grant is asked for and made, but its answer never comes.
          yield* proxy.blackHole("toClient")
          yield* Effect.forkChild(register(1))
          yield* Effect.repeat(leases(operator), { until: (all) => all.length === 1 })
        })
      )
      assert.isUndefined(yield* entry(operator))
      yield* Effect.repeat(leases(operator), { until: (all) => all.length === 0 })
    })
  )

  it.live("gives back what an interrupted registration was granted", () =>
    Effect.gen(function* () {
      const { client, operator, proxy } = yield* world()
      yield* proxy.delay(50)
      const attempt = yield* Effect.forkChild(client.registry.register(instance(1), long))
      yield* Effect.repeat(leases(operator), { until: (all) => all.length === 1 })
      yield* Effect.sleep(60)
      yield* Fiber.interrupt(attempt)
      yield* Effect.repeat(leases(operator), { until: (all) => all.length === 0 })
      assert.isUndefined(yield* entry(operator))
    })
  )

  it.live(
    "F-etcd-l: without space reads, watches and renewals go on; what cannot be written says so, and can later",
    () =>
      Effect.gen(function* () {
        const server = yield* EtcdServer.make({ flags: [`--quota-backend-bytes=${2 ** 20 * 4}`] })
        const operator = yield* EtcdServer.operator([server.address])
        const client = yield* connect([server.address])
        const lifetime = Duration.seconds(6)
        const lease = yield* client.registry.register(instance(1), lifetime)
        const queue = yield* client.follow()
        yield* reset(queue)
        const filler = Buffer.alloc(2 ** 20)
        const fill = Effect.tryPromise(() => operator.put("filler").value(filler))
        yield* Effect.flip(Effect.forever(fill))
        for (let n = 0; n < 4; n++) {
          yield* Effect.sleep(Duration.times(lifetime, 0.4))
          yield* client.registry.renew(lease)
        }
        assert.strictEqual(yield* why(client.register(2)), "Exhausted")
        assert.strictEqual((yield* Effect.scoped(Effect.flatMap(client.follow(), reset))).endpoints.length, 1)
        yield* Effect.promise(async () => {
          const { header } = await operator.kv.deleteRange({ key: Buffer.from("filler") })
          await operator.kv.compact({ revision: header.revision, physical: true })
          await operator.maintenance.defragment()
          const { alarms } = await operator.maintenance.alarm({ action: "Get" })
          for (const one of alarms) await operator.maintenance.alarm({ ...one, action: "Deactivate", alarm: "Nospace" })
        })
        yield* client.registry.renew(lease)
        yield* client.register(2)
        assert.strictEqual(word(yield* changed(queue)), "+i-2")
      })
  )

  it.live("F-etcd-l: a listing of more than 4 MiB, and as much missed, come whole", () =>
    Effect.gen(function* () {
      const { client, operator } = yield* world()
      const metadata = { text: "x".repeat(4000) }
      const write = (n: number, weight: number) => {
        const value = JSON.stringify(instance(n, { metadata, weight }))
        return { request_put: { key: Buffer.from(`muster/orders/i-${n}`), value: Buffer.from(value) } }
      }
      const all = (weight: number) =>
        Effect.forEach(Array(20).keys(), (page) =>
          Effect.promise(() =>
            operator.kv.txn({ success: Array.from({ length: 100 }, (_, n) => write(page * 100 + n, weight)) })
          )
        )
      yield* all(1)
      const { cursor, endpoints } = yield* Effect.scoped(Effect.flatMap(client.follow(), reset))
      assert.strictEqual(endpoints.length, 2000)
      yield* all(2)
      const queue = yield* client.follow(cursor)
      yield* put(operator, 5000)
      const said = yield* Queue.takeN(queue, 22)
      const sizes = said.map((change) => (change._tag === "Changed" ? change.deltas.length : change._tag))
      assert.deepStrictEqual(sizes, ["Resumed", ...Array(20).fill(100), 1])
    })
  )
})
