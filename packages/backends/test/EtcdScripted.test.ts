/**
 * What an etcd of another version than the tests have may do, and one in a bad moment: scripted, on the real wire.
 */
import { status } from "@grpc/grpc-js"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Option, Queue, Result, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { ILeaseKeepAliveRequest, IWatchRequest } from "etcd3"
import { Endpoint, Policy, Resolver } from "@muster/core"
import * as Etcd from "@muster/backends/Etcd"
import type { Connection } from "../src/internal/etcd/connection.ts"
import * as Duplex from "../src/internal/etcd/duplex.ts"
import * as KeepAlive from "../src/internal/etcd/keepAlive.ts"
import * as Lifespan from "../src/internal/etcd/lifespan.ts"
import * as Members from "../src/internal/etcd/members.ts"
import * as WatchStream from "../src/internal/etcd/watchStream.ts"
import * as ScriptedEtcd from "./fixtures/scriptedEtcd.ts"

const key = Buffer.from("muster/orders/")
const folder = { key, range_end: Buffer.from("muster/orders0"), start_revision: "2" }
const event = { type: "Put" as const, kv: { key, mod_revision: "2" } }

/** A client of a scripted etcd, below the ports: its members and its watches. */
const connect = Effect.fnUntraced(function* (script: ScriptedEtcd.Script) {
  const server = yield* ScriptedEtcd.make(script)
  const members = yield* Members.make([server.address], { login: undefined, tls: undefined })
  const streams = yield* WatchStream.make(members)
  /** Whatever etcd said on a stream before this was asked has been heard when it is answered. */
  const heard = members.call((etcd, options) => etcd.maintenance.status(options))
  return { members, streams, heard }
})

/** The watches of a current etcd, which answers no progress request while a watch waits for a revision to come. */
const watches = Effect.gen(function* () {
  const asked = yield* Queue.unbounded<IWatchRequest>()
  const open = new Map<string, ScriptedEtcd.WatchCall>()
  let next = 0
  /** The answers that are kept back, if they are: they come in order. */
  let held: Array<() => void> | undefined
  const answer = (call: ScriptedEtcd.WatchCall, what: object) => {
    const tell = () => void call.write({ header: ScriptedEtcd.header, created: true, ...what })
    if (held === undefined) tell()
    else held.push(tell)
  }
  const create = (call: ScriptedEtcd.WatchCall, { key, range_end }: NonNullable<IWatchRequest["create_request"]>) => {
    if (range_end?.length && Buffer.compare(Buffer.from(key ?? ""), Buffer.from(range_end)) >= 0) {
      return answer(call, { watch_id: "-1", canceled: true, cancel_reason: "mvcc: watcher range is empty" })
    }
    const watch_id = String(next++)
    open.set(watch_id, call)
    answer(call, { watch_id })
  }
  const watch = (call: ScriptedEtcd.WatchCall) =>
    void call.on("data", (request: IWatchRequest) => {
      if (request.create_request) create(call, request.create_request)
      if (request.cancel_request?.watch_id !== undefined) open.delete(String(request.cancel_request.watch_id))
      Queue.offerUnsafe(asked, request)
    })
  const say = (watch_id: string, what: object) => open.get(watch_id)?.write({ watch_id, ...what })
  const hold = () => void (held = [])
  const release = () => held?.splice(0).forEach((tell) => tell())
  return { watch, asked, open, say, hold, release }
})

describe("a scripted etcd", () => {
  it.effect("F-etcd-d: a watch of a store that nobody writes to stays open, and no other is left beside it", () =>
    Effect.gen(function* () {
      const { asked, open, say, watch } = yield* watches
      const { heard, streams } = yield* connect({ watch })
      const { messages } = yield* streams.create(folder)
      yield* Queue.take(asked)
      const said = yield* Effect.forkChild(Queue.take(messages))
      for (let beat = 0; beat < 5; beat++) {
        yield* TestClock.adjust(yield* Policy.Heartbeat)
        yield* Effect.raceFirst(Queue.take(asked), Fiber.join(said))
        yield* heard
        assert.deepStrictEqual([...open.keys()], ["0"])
      }
      say("0", { header: ScriptedEtcd.header, events: [event] })
      assert.strictEqual((yield* Fiber.join(said))._tag, "Events")
    })
  )

  it.effect("F-etcd-f: takes back a watch that was compacted, which etcd keeps until then", () =>
    Effect.gen(function* () {
      const { asked, open, say, watch } = yield* watches
      const { streams } = yield* connect({ watch })
      yield* streams.create(folder)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { messages } = yield* streams.create(folder)
          yield* Queue.takeN(asked, 2)
          say("1", { header: ScriptedEtcd.header, canceled: true, compact_revision: "7" })
          assert.deepStrictEqual(yield* Queue.take(messages), { _tag: "Compacted" })
        })
      )
      assert.isDefined((yield* Queue.take(asked)).cancel_request)
      assert.deepStrictEqual([...open.keys()], ["0"])
    })
  )

  it.effect("F-etcd-g: a user to whom the state of the member is not told reads what he may read", () =>
    Effect.gen(function* () {
      const { members, streams } = yield* connect({
        status: Effect.fail(ScriptedEtcd.denied),
        watch: (yield* watches).watch
      })
      yield* members.call((etcd, options) => etcd.kv.range({ key }, options))
      // What is not known of a server is not trusted either.
      assert.isTrue((yield* streams.create(folder)).losesEvents)
    })
  )

  it.effect("F-etcd-a2: a stream that cannot be opened ends with whoever waits for it, and at half a deadline", () =>
    Effect.gen(function* () {
      const doubted: Array<string> = []
      const connection: Connection = {
        host: "etcd-1:2379",
        losesEvents: false,
        send: () => Effect.never,
        forgetToken: () => undefined,
        life: Lifespan.make()
      }
      const members = {
        ...(yield* Members.make([], { login: undefined, tls: undefined })),
        connection: Effect.succeed(connection),
        doubt: ({ host }: Connection) => void doubted.push(host)
      }
      const opening = Effect.scoped(
        Duplex.open({
          members,
          start: (etcd, options) => etcd.watchClient.watch(options),
          onMessage: () => undefined,
          onDeath: () => undefined
        })
      )
      const hurried = yield* Effect.forkChild(Effect.timeoutOption(opening, "1 second"))
      yield* TestClock.adjust("2 seconds")
      assert.isDefined(hurried.pollUnsafe())
      assert.deepStrictEqual(doubted, [])
      const patient = yield* Effect.forkChild(Effect.flip(opening))
      yield* TestClock.adjust(Duration.times(yield* Policy.CallDeadline, 0.5))
      assert.strictEqual((yield* Fiber.join(patient)).code, status.DEADLINE_EXCEEDED)
      assert.deepStrictEqual(doubted, [connection.host])
    })
  )

  it.effect("F-etcd-o: a stream that takes longer to open than one may be silent is not dead at once", () =>
    Effect.gen(function* () {
      const { members } = yield* connect({ watch: (yield* watches).watch })
      const connection = yield* members.connection
      const opening = Duration.times(yield* Policy.CallDeadline, 0.4)
      const slow: Connection = { ...connection, send: (send) => Effect.delay(connection.send(send), opening) }
      const streams = yield* Effect.provideService(
        WatchStream.make({ ...members, connection: Effect.succeed(slow) }),
        Policy.Heartbeat,
        Duration.times(opening, 0.5)
      )
      const created = yield* Effect.forkChild(streams.create(folder))
      yield* TestClock.adjust(opening)
      assert.isFalse((yield* Fiber.join(created)).losesEvents)
    })
  )

  it.effect("F-etcd-o: a watch that is created too late fails alone, while others on its stream are spoken to", () =>
    Effect.gen(function* () {
      const { asked, hold, open, release, say, watch } = yield* watches
      const { streams } = yield* connect({ watch })
      const { messages } = yield* streams.create(folder)
      hold()
      const late = yield* Effect.forkChild(Effect.flip(Effect.scoped(streams.create(folder))))
      yield* Queue.takeN(asked, 2)
      say("0", { header: ScriptedEtcd.header, events: [event] })
      assert.strictEqual((yield* Queue.take(messages))._tag, "Events")
      yield* TestClock.adjust(yield* Policy.CallDeadline)
      assert.strictEqual((yield* Fiber.join(late)).code, status.DEADLINE_EXCEEDED)
      say("0", { header: ScriptedEtcd.header, events: [event] })
      assert.strictEqual((yield* Queue.take(messages))._tag, "Events")
      // Nobody wants it any more when it comes.
      release()
      yield* Effect.repeat(Queue.take(asked), { until: (request) => request.cancel_request !== undefined })
      assert.deepStrictEqual([...open.keys()], ["0"])
    })
  )

  it.live("F-etcd-g: a lease that may not be renewed ends the renewals of no other", () =>
    Effect.gen(function* () {
      const { members } = yield* connect({
        keepAlive: (call) =>
          call.on("data", ({ ID }: ILeaseKeepAliveRequest) => {
            if (ID === "1") call.emit("error", ScriptedEtcd.refusal(ScriptedEtcd.denied))
            else call.write({ header: ScriptedEtcd.header, ID: String(ID), TTL: "10" })
          })
      })
      const { renew } = yield* KeepAlive.make(members)
      const within = Duration.seconds(20)
      const [refused, ...renewed] = yield* Effect.forEach(["1", "2", "3"], (id) => Effect.result(renew(id, within)), {
        concurrency: "unbounded"
      })
      assert.strictEqual(refused && Result.isFailure(refused) && refused.failure.code, status.PERMISSION_DENIED)
      assert.deepStrictEqual(renewed, [Result.succeed(true), Result.succeed(true)])
    })
  )

  it.effect("F-c6: a listener that does not listen keeps nobody else from a full read", () =>
    Effect.gen(function* () {
      const { asked, say, watch } = yield* watches
      const reads = yield* Queue.unbounded<void>()
      const range = Effect.as(Queue.offer(reads, undefined), { header: ScriptedEtcd.header, kvs: [] })
      const server = yield* ScriptedEtcd.make({ watch, range })
      const resolver = yield* Layer.build(Etcd.layer({ hosts: [server.address] })).pipe(
        Effect.map((context) => Context.get(context, Resolver.Resolver)),
        Effect.provideService(Policy.ReadConcurrency, 1),
        Effect.provideService(Policy.Spread, Duration.zero)
      )
      const follow = (service: string) => resolver.watch(Endpoint.ServiceName.make(service))
      // It takes the first Reset and nothing more, while as much comes as is kept for it, and then another Reset.
      const busy = yield* Effect.forkChild(Stream.runForEach(follow("busy"), () => Effect.never))
      yield* Queue.take(asked)
      for (let n = 2; n < 258; n++) {
        const mod_revision = String(n)
        say("0", { header: ScriptedEtcd.header, events: [{ type: "Put", kv: { key, mod_revision } }] })
      }
      say("0", { header: ScriptedEtcd.header, canceled: true, compact_revision: "300" })
      yield* Queue.takeN(reads, 2)
      const first = yield* Stream.runHead(follow("other"))
      assert.strictEqual(Option.getOrThrow(first)._tag, "Reset")
      yield* Fiber.interrupt(busy)
    })
  )
})
