import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { cpSync, rmSync } from "node:fs"
import * as EtcdServer from "../../backends/test/fixtures/EtcdServer.ts"
import * as TcpProxy from "../../backends/test/fixtures/TcpProxy.ts"
import { follower, type Registrant, registrants } from "./fixtures/etcdWorld.ts"

const leasesOf = (all: ReadonlyArray<Registrant>) => Effect.forEach(all, ({ lease }) => lease)
const registered = (all: ReadonlyArray<Registrant>) =>
  Effect.forEach(all, ({ until }) => until("Registered"), { concurrency: "unbounded", discard: true })
const grants = (all: ReadonlyArray<Registrant>) => all.map(({ log }) => log.filter((tag) => tag === "Granted").length)

/** Three instances and somebody who follows them, all well. */
const world = Effect.fnUntraced(function* (server: EtcdServer.EtcdServer) {
  const all = yield* registrants([server.address], 3)
  const view = yield* follower([server.address])
  yield* view.settled(3)
  // Who follows may hear of an instance before the instance itself does.
  yield* registered(all)
  view.sizes.length = 0
  return { all, view }
})

describe.skipIf(EtcdServer.isMissing)("an etcd that goes away", () => {
  it.live("F-etcd-a: every endpoint is kept, and every lease, over an outage longer than its time to live", () =>
    Effect.gen(function* () {
      const server = yield* EtcdServer.make()
      const { all, view } = yield* world(server)
      const leases = yield* leasesOf(all)
      const before = view.snapshot()
      yield* server.kill
      yield* view.frozen
      yield* Effect.forEach(all, ({ until }) => until("Lost"), { concurrency: "unbounded" })
      assert.strictEqual(view.snapshot(), before)
      yield* server.start
      yield* view.settled(3)
      yield* registered(all)
      assert.strictEqual(view.snapshot(), before)
      assert.deepStrictEqual(yield* leasesOf(all), leases)
      assert.deepStrictEqual(grants(all), [1, 1, 1])
    })
  )

  it.live("F-etcd-b: is followed again by the first attempt after it is ready, at the same snapshot", () =>
    Effect.gen(function* () {
      const server = yield* EtcdServer.make()
      const { all, view } = yield* world(server)
      const before = view.snapshot()
      for (let n = 0; n < 3; n++) {
        yield* server.kill
        yield* view.frozen
        yield* Effect.sleep(Duration.millis(300 * n))
        yield* server.start
        const attempts = view.attempts()
        const [took] = yield* Effect.timed(view.settled(3))
        // One may have been under way.
        assert.isAtMost(view.attempts() - attempts, 2)
        // The pause before it is the longer the longer etcd took to start, which is long on a busy machine.
        if (process.env["MUSTER_TEST_TIMED"] === "1") assert.isBelow(Duration.toMillis(took), 1000)
        yield* registered(all)
        assert.strictEqual(view.snapshot(), before)
      }
    })
  )

  it.live(
    "F-etcd-a2: every endpoint is kept while the server is stopped, and the leases that it kept are renewed",
    () =>
      Effect.gen(function* () {
        const server = yield* EtcdServer.make()
        const { all, view } = yield* world(server)
        const leases = yield* leasesOf(all)
        const before = view.snapshot()
        yield* server.pause
        yield* view.frozen
        yield* server.resume
        yield* view.settled(3)
        yield* registered(all)
        assert.strictEqual(view.snapshot(), before)
        assert.deepStrictEqual(yield* leasesOf(all), leases)
      })
  )

  it.live("F-etcd-a2: nobody is missed when the server was stopped for so long that it lets every lease run out", () =>
    Effect.gen(function* () {
      const server = yield* EtcdServer.make()
      const all = yield* registrants([server.address], 10)
      const view = yield* follower([server.address])
      yield* view.settled(10)
      view.sizes.length = 0
      yield* server.pause
      yield* view.frozen
      yield* Effect.forEach(all, ({ until }) => until("Lost"), { concurrency: "unbounded" })
      yield* server.resume
      yield* view.until((state) => state._tag === "Live")
      yield* registered(all)
      yield* view.settled(10)
      assert.deepStrictEqual([...new Set(view.sizes)], [10])
    })
  )

  it.live("F-etcd-c: nobody is missed when it comes back empty, and everybody puts himself back", () =>
    Effect.gen(function* () {
      const server = yield* EtcdServer.make()
      const { all, view } = yield* world(server)
      yield* server.wipe
      yield* view.frozen
      yield* server.start
      yield* view.settled(3)
      yield* registered(all)
      assert.deepStrictEqual(grants(all), [2, 2, 2])
      assert.deepStrictEqual([...new Set(view.sizes)], [3])
      const operator = yield* EtcdServer.operator([server.address])
      assert.strictEqual((yield* Effect.promise(() => operator.leaseClient.leaseLeases())).leases.length, 3)
    })
  )

  it.live("F-etcd-c: nobody is missed when it comes back from an old backup", () =>
    Effect.gen(function* () {
      const server = yield* EtcdServer.make()
      const operator = yield* EtcdServer.operator([server.address])
      yield* Effect.promise(() => operator.put("something").value("older"))
      yield* server.kill
      const backup = `${server.dataDir}.backup`
      yield* Effect.sync(() => cpSync(server.dataDir, backup, { recursive: true }))
      yield* server.start
      const { all, view } = yield* world(server)
      yield* server.kill
      yield* view.frozen
      yield* Effect.sync(() => {
        rmSync(server.dataDir, { recursive: true })
        cpSync(backup, server.dataDir, { recursive: true })
      })
      yield* server.start
      yield* view.settled(3)
      yield* registered(all)
      assert.deepStrictEqual([...new Set(view.sizes)], [3])
    })
  )

  it.live("F-etcd-f: a compaction meanwhile is read over without a flicker", () =>
    Effect.gen(function* () {
      const server = yield* EtcdServer.make()
      const proxy = yield* TcpProxy.make(server.port)
      const operator = yield* EtcdServer.operator([server.address])
      yield* registrants([server.address], 3)
      const view = yield* follower([proxy.address])
      yield* view.settled(3)
      const before = view.snapshot()
      yield* proxy.refuse
      yield* view.frozen
      yield* Effect.promise(async () => {
        const { header } = await operator.put("something").value("else")
        await operator.kv.compact({ revision: header.revision, physical: true })
      })
      yield* proxy.heal
      yield* view.settled(3)
      assert.strictEqual(view.snapshot(), before)
    })
  )

  it.live("F-etcd-k: servers start without it, and are found once it comes", () =>
    Effect.gen(function* () {
      const server = yield* EtcdServer.make()
      yield* server.kill
      const all = yield* registrants([server.address], 2)
      const view = yield* follower([server.address])
      yield* view.until((state) => state._tag === "Loading" && state.cause !== undefined)
      assert.deepStrictEqual(grants(all), [0, 0])
      yield* server.start
      yield* view.settled(2)
      yield* registered(all)
      assert.deepStrictEqual(grants(all), [1, 1])
    })
  )
})
