import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Queue, Stream } from "effect"
import { Change } from "@muster/core"
import * as Members from "../src/internal/etcd/members.ts"
import * as WatchStream from "../src/internal/etcd/watchStream.ts"
import { connect, put, word, world } from "./fixtures/etcdClient.ts"
import * as EtcdServer from "./fixtures/EtcdServer.ts"
import { changed, orders, reset } from "./RegistryContract.ts"

const ids = ({ endpoints }: Extract<Change.Change, { _tag: "Reset" }>) => endpoints.map(({ id }) => id).toSorted()

describe.skipIf(EtcdServer.isMissing)("resuming in etcd", () => {
  it.live(
    "F-etcd-b: sees each of 6 000 events once, in order, though the connection is cut amid the catch-up",
    () =>
      Effect.gen(function* () {
        const { client, operator, proxy } = yield* world()
        let { cursor: last } = yield* Effect.scoped(Effect.flatMap(client.follow(), reset))
        yield* Effect.forEach(Array(6000).keys(), (n) => put(operator, n % 7, n), { discard: true })
        const seen: Array<number> = []
        const hear = (change: Change.Change) => {
          last = change.cursor
          if (change._tag !== "Changed") return
          for (const delta of change.deltas) if (delta._tag === "Put") seen.push(delta.endpoint.weight)
        }
        let cuts = 0
        yield* proxy.cutAfter(200_000)
        while (seen.length < 6000) {
          yield* client.resolver.watch(orders, last).pipe(
            Stream.tap((change) => Effect.sync(() => hear(change))),
            Stream.takeUntil(() => seen.length >= 6000),
            Stream.runDrain,
            Effect.catch(() => {
              cuts++
              return proxy.cutAfter(250_000)
            })
          )
        }
        assert.isAtLeast(cuts, 2)
        assert.deepStrictEqual(seen, [...Array(6000).keys()])
      }),
    240_000
  )

  it.live("F-etcd-b: goes on where it was after a kill and a restart, with nothing lost and nothing doubled", () =>
    Effect.gen(function* () {
      const { client, operator, server } = yield* world()
      yield* put(operator, 1)
      const first = yield* client.follow()
      yield* reset(first)
      yield* put(operator, 2)
      const { cursor } = yield* changed(first)
      yield* server.kill
      assert.strictEqual((yield* Effect.flip(Queue.take(first)))._tag, "RegistryError")
      yield* server.start
      yield* put(operator, 3)
      const second = yield* client.follow(cursor)
      assert.deepStrictEqual((yield* Queue.takeN(second, 2)).map(word), ["Resumed", "+i-3"])
    })
  )

  it.live("F-etcd-b: reads everything again soon after a resume on a server that is known to lose events", () =>
    Effect.gen(function* () {
      const { client, operator } = yield* world({ spread: Duration.millis(200) })
      yield* put(operator, 1)
      const { cursor } = yield* Effect.scoped(Effect.flatMap(client.follow(), reset))
      const queue = yield* client.follow(cursor)
      assert.strictEqual(word(yield* Queue.take(queue)), "Resumed")
      assert.deepStrictEqual(ids(yield* reset(queue)), ["i-1"])
      yield* put(operator, 2)
      assert.strictEqual(word(yield* changed(queue)), "+i-2")
    })
  )

  it.live("F-etcd-f: reads everything again where the history after its cursor was compacted", () =>
    Effect.gen(function* () {
      const { client, operator } = yield* world({ spread: Duration.zero })
      yield* put(operator, 1)
      const { cursor } = yield* Effect.scoped(Effect.flatMap(client.follow(), reset))
      yield* put(operator, 2)
      const { header } = yield* put(operator, 3)
      yield* Effect.promise(() => operator.kv.compact({ revision: header.revision }))
      const queue = yield* client.follow(cursor)
      assert.deepStrictEqual(ids(yield* reset(queue)), ["i-1", "i-2", "i-3"])
      yield* put(operator, 4)
      assert.strictEqual(word(yield* changed(queue)), "+i-4")
    })
  )

  it.live("F-etcd-f: hears of a compaction that falls between the question and the watch", () =>
    Effect.gen(function* () {
      const server = yield* EtcdServer.make()
      const operator = yield* EtcdServer.operator([server.address])
      const members = yield* Members.make([server.address], { login: undefined, tls: undefined })
      const streams = yield* WatchStream.make(members)
      yield* put(operator, 1)
      const { header } = yield* put(operator, 2)
      yield* Effect.promise(() => operator.kv.compact({ revision: header.revision }))
      const key = Buffer.from("muster/orders/i-1")
      const { messages } = yield* streams.create({ key, start_revision: "1" })
      assert.deepStrictEqual(yield* Queue.take(messages), { _tag: "Compacted" })
      // The stream and its other watches live on.
      const other = yield* streams.create({ key })
      yield* put(operator, 1)
      assert.strictEqual((yield* Queue.take(other.messages))._tag, "Events")
    })
  )

  it.live("F-etcd-c: reads everything again from a store that was wiped, even once its revision has overtaken", () =>
    Effect.gen(function* () {
      const { client, operator, server } = yield* world({ spread: Duration.zero })
      // A second life of the same store, so that its election term is above that of a new one.
      yield* server.kill
      yield* server.start
      yield* Effect.forEach(Array(5).keys(), (n) => put(operator, n))
      const { cursor } = yield* Effect.scoped(Effect.flatMap(client.follow(), reset))
      yield* server.wipe
      yield* server.start
      yield* put(operator, 1)
      assert.deepStrictEqual(ids(yield* Effect.scoped(Effect.flatMap(client.follow(cursor), reset))), ["i-1"])
      yield* Effect.forEach(Array(20).keys(), () => put(operator, 2))
      const queue = yield* client.follow(cursor)
      assert.deepStrictEqual(ids(yield* reset(queue)), ["i-1", "i-2"])
      yield* put(operator, 3)
      assert.strictEqual(word(yield* changed(queue)), "+i-3")
    })
  )

  it.live("takes no cursor of another cluster for its own", () =>
    Effect.gen(function* () {
      const { client, operator } = yield* world({ spread: Duration.zero })
      yield* put(operator, 1)
      const { cursor } = yield* Effect.scoped(Effect.flatMap(client.follow(), reset))
      const elsewhere = yield* EtcdServer.make()
      const { follow } = yield* connect([elsewhere.address], {}, { spread: Duration.zero })
      assert.deepStrictEqual(ids(yield* Effect.flatMap(follow(cursor), reset)), [])
      const [cluster = "", term = "", revision = ""] = cursor.split(".")
      for (const [text, tag] of [
        [`${cluster}.${term}.${BigInt(revision) + 1n}`, "Reset"],
        [`${BigInt(cluster) + 1n}.${term}.${revision}`, "Reset"],
        [`${cluster}.${BigInt(term) + 1n}.${revision}`, "Reset"],
        [`${cluster}.${term}.${revision}`, "Resumed"]
      ] as const) {
        const change = yield* Effect.scoped(Effect.flatMap(client.follow(Change.Cursor.make(text)), Queue.take))
        assert.strictEqual(change._tag, tag, text)
      }
    })
  )
})
