import { assert, describe, it, vi } from "@effect/vitest"
import {
  Config,
  ConfigProvider,
  Context,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Queue,
  Schedule,
  type Scope,
  Stream
} from "effect"
import * as ChildProcess from "node:child_process"
import Fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import * as Path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { Endpoint, Policy, Registry, type RegistryError, Resolver } from "@muster/core"
import * as Local from "@muster/backends/Local"
import * as Mounts from "../src/internal/local/mounts.ts"
import { layer, layerWithoutFile, Place, sql } from "./fixtures/localFile.ts"
import {
  addresses,
  changed,
  instance,
  list,
  orders,
  passVirtually as pass,
  reason,
  reset,
  settle,
  suite,
  told,
  watch
} from "./RegistryContract.ts"

const bills = Endpoint.ServiceName.make("bills")
const ttl = Duration.seconds(10)
const poll = Duration.millis(250)

const exec: (this: DatabaseSync, text: string) => void = Reflect.get(DatabaseSync.prototype, "exec")

const write = (id: string, text: string) =>
  sql((file) =>
    file
      .prepare(
        "INSERT INTO entries (service, id, value) VALUES ('orders', ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
      )
      .run(id, text)
  )

suite("Local", layer, {
  clock: "virtual",
  ttl,
  slack: Duration.seconds(2),
  write: (_, id, text) => write(id, text),
  remove: (service, id) =>
    sql((file) => file.prepare("DELETE FROM entries WHERE service = ? AND id = ?").run(service, id)),
  fill: (endpoints, lifetime) =>
    sql((file) => {
      const grant = file.prepare("INSERT INTO leases (lease, service, id, ttl, beat) VALUES (?, ?, ?, ?, 0)")
      const put = file.prepare("INSERT INTO entries (service, id, value, lease) VALUES (?, ?, ?, ?)")
      file.exec("BEGIN IMMEDIATE")
      for (const { id, service, ...fields } of endpoints) {
        grant.run(id, service, id, Duration.toMillis(lifetime))
        put.run(service, id, JSON.stringify({ service, id, ...fields }), id)
      }
      file.exec("COMMIT")
    })
})

/** Writes every entry by hand. */
const set = (value: string) => sql((file) => file.prepare("UPDATE entries SET value = ?").run(value))

/** A process of its own as far as the file can tell: its own handles, watch and observations. */
const another = Effect.gen(function* () {
  const { path } = yield* Place
  const context = yield* Layer.build(Local.layer({ path }))
  return {
    registry: Context.get(context, Registry.Registry),
    resolver: Context.get(context, Resolver.Resolver),
    context
  }
})

/** No folder can be watched for as long as the scope lives. */
const unwatchable = Effect.acquireRelease(
  Effect.sync(() => {
    const spy = vi.spyOn(Fs, "watch").mockImplementation(() => {
      throw new Error("ENOSPC: System limit for number of file watchers reached")
    })
    syncBuiltinESMExports()
    return spy
  }),
  (spy) =>
    Effect.sync(() => {
      spy.mockRestore()
      syncBuiltinESMExports()
    })
)

const register = (n: number) => Effect.flatMap(Registry.Registry, (registry) => registry.register(instance(n), ttl))
const cursorNow = Effect.map(Effect.scoped(Effect.flatMap(watch(orders), reset)), ({ cursor }) => cursor)
const watchFails = <A, R>(watching: Effect.Effect<A, RegistryError.RegistryError | { readonly _tag: "Done" }, R>) =>
  Effect.map(Effect.flip(watching), (error) => (error._tag === "RegistryError" ? error.reason._tag : error._tag))

/** Each call that a registered server or a client may make, and the reason why it fails. */
const calls = Effect.fnUntraced(function* (lease: Registry.Lease) {
  const registry = yield* Registry.Registry
  return {
    register: yield* reason(registry.register(instance(99), ttl)),
    update: yield* reason(registry.update(lease, lease.endpoint)),
    renew: yield* reason(registry.renew(lease)),
    revoke: yield* reason(registry.revoke(lease)),
    watch: yield* watchFails(Effect.scoped(Effect.flatMap(watch(orders), Queue.take)))
  }
})

const allUnavailable = {
  register: "Unavailable",
  update: "Unavailable",
  renew: "Unavailable",
  revoke: "Unavailable",
  watch: "Unavailable"
}

const test = (name: string, body: Effect.Effect<void, unknown, Layer.Success<typeof layer> | Scope.Scope>) =>
  it.effect(name, () => body.pipe(Effect.provide(layer)))

describe("Local, its faults", () => {
  test(
    "F-c5: opens nothing any more once its layer was released, and says so",
    Effect.gen(function* () {
      const { context, registry } = yield* Effect.scoped(another)
      assert.strictEqual(yield* reason(registry.register(instance(1), ttl)), "Unavailable")
      const watching = Effect.scoped(Effect.flatMap(watch(orders), Queue.take))
      assert.strictEqual(yield* Effect.provide(watchFails(watching), context), "Unavailable")
      yield* register(2)
      assert.deepStrictEqual(yield* list(orders), [instance(2).address])
    })
  )

  test(
    "F-local-a: keeps every lease and resumes every watch after its folder was away for three times the time to live",
    Effect.gen(function* () {
      const { folder } = yield* Place
      const registry = yield* Registry.Registry
      const lease = yield* register(1)
      const observer = yield* another
      const queue = yield* watch(orders).pipe(Effect.provide(observer.context))
      const { cursor } = yield* reset(queue)
      yield* pass(Duration.seconds(1))
      Fs.renameSync(folder, `${folder}.away`)
      yield* pass(poll)
      assert.strictEqual(yield* watchFails(Queue.take(queue)), "Unavailable")
      assert.deepStrictEqual(yield* calls(lease), allUnavailable)
      yield* pass(Duration.times(ttl, 3))
      assert.isFalse(Fs.existsSync(folder))
      Fs.renameSync(`${folder}.away`, folder)
      const again = yield* watch(orders, cursor).pipe(Effect.provide(observer.context))
      assert.strictEqual((yield* Queue.take(again))._tag, "Resumed")
      yield* pass(Duration.times(ttl, 0.5))
      yield* registry.renew(lease)
      yield* pass(Duration.times(ttl, 0.9))
      assert.deepStrictEqual(yield* list(orders), [instance(1).address])
      assert.deepStrictEqual(yield* Queue.poll(again), Option.none())
    })
  )

  test(
    "F-local-a: a folder that was away and is another one by now is watched anew",
    Effect.gen(function* () {
      const { folder } = yield* Place
      const lease = yield* register(1)
      yield* settle
      Fs.renameSync(folder, `${folder}.away`)
      yield* pass(poll)
      Fs.mkdirSync(folder)
      yield* pass(poll)
      assert.strictEqual(yield* reason(Effect.flatMap(Registry.Registry, (it) => it.renew(lease))), "LeaseLost")
      yield* register(1)
      const queue = yield* watch(orders)
      yield* reset(queue)
      const other = yield* another
      yield* settle
      yield* other.registry.register(instance(2), ttl)
      assert.deepStrictEqual(told(yield* changed(queue)), ["+i-2:1"])
    })
  )

  test(
    "F-local-e: waits without blocking while another process writes, and reads meanwhile",
    Effect.gen(function* () {
      const registry = yield* Registry.Registry
      const lease = yield* register(1)
      const { path } = yield* Place
      const writer = new DatabaseSync(path)
      writer.exec("BEGIN IMMEDIATE")
      const started = performance.now()
      const renewing = yield* Effect.forkChild(registry.renew(lease), { startImmediately: true })
      // As long as a call may take, if it blocked: other processes may have the processor, but not for so long.
      assert.isBelow(performance.now() - started, 2500)
      yield* pass(Duration.seconds(1))
      assert.isUndefined(renewing.pollUnsafe())
      assert.deepStrictEqual(yield* list(orders), [instance(1).address])
      writer.exec("COMMIT")
      writer.close()
      yield* pass(Duration.seconds(1))
      assert.strictEqual(renewing.pollUnsafe()?._tag, "Success")
    })
  )

  it.effect(
    "F-local-a2, F-local-o: every call ends at its deadline while the file is held, and leaves nothing behind",
    () =>
      Effect.gen(function* () {
        const registry = yield* Registry.Registry
        const lease = yield* register(1)
        const { path } = yield* Place
        const holder = new DatabaseSync(path)
        holder.exec("BEGIN IMMEDIATE")
        const attempts = [
          registry.register(instance(2), ttl),
          registry.update(lease, instance(1, { weight: 9 })),
          registry.renew(lease),
          registry.revoke(lease)
        ]
        const fibers = yield* Effect.forEach(attempts, (call) => Effect.forkChild(reason(call)))
        yield* pass(Duration.seconds(2.9))
        assert.isTrue(fibers.every((fiber) => fiber.pollUnsafe() === undefined))
        yield* pass(Duration.millis(200))
        for (const fiber of fibers) assert.strictEqual(yield* Fiber.join(fiber), "TimedOut")
        holder.exec("COMMIT")
        holder.close()
        yield* pass(Duration.seconds(1))
        const { endpoints } = yield* Effect.flatMap(watch(orders), reset)
        assert.deepStrictEqual(
          endpoints.map((one) => `${one.id}:${one.weight}`),
          ["i-1:1"]
        )
      }).pipe(
        Effect.provide(layer),
        Effect.provideService(Policy.Locked, { wait: Duration.zero, retry: Schedule.spaced("20 millis") })
      )
  )

  it.effect("F-local-b: resumes by revision after every process was started again", () =>
    Effect.gen(function* () {
      const before = yield* Effect.scoped(
        Effect.gen(function* () {
          const { context, registry } = yield* another
          const lease = yield* registry.register(instance(1), ttl)
          const cursor = yield* cursorNow.pipe(Effect.provide(context))
          yield* registry.register(instance(2), ttl)
          return { cursor, lease }
        })
      )
      const { context, registry } = yield* another
      const queue = yield* watch(orders, before.cursor).pipe(Effect.provide(context))
      assert.strictEqual((yield* Queue.take(queue))._tag, "Resumed")
      assert.deepStrictEqual(told(yield* changed(queue)), ["+i-2:1"])
      yield* registry.renew(before.lease)
    }).pipe(Effect.provide(Place.layer))
  )

  const losses: ReadonlyArray<readonly [string, (place: Place["Service"]) => void]> = [
    ["deleted", ({ path }) => Fs.rmSync(path)],
    ["deleted with all that belongs to it", ({ path }) => ["", "-wal", "-shm"].forEach((end) => Fs.rmSync(path + end))],
    [
      "replaced by an empty one",
      ({ folder, path }) => {
        Fs.writeFileSync(Path.join(folder, "empty"), "")
        Fs.renameSync(Path.join(folder, "empty"), path)
      }
    ],
    ["truncated where it is", ({ path }) => ChildProcess.execFileSync("sh", ["-c", ': > "$1"', "sh", path])],
    ["moved away", ({ path }) => Fs.renameSync(path, `${path}.old`)]
  ]
  for (const [what, lose] of losses) {
    test(
      `F-local-c: a file that was ${what} is noticed, made anew by the next registration, and by no reader`,
      Effect.gen(function* () {
        const registry = yield* Registry.Registry
        const place = yield* Place
        const lease = yield* register(1)
        yield* register(2)
        const observer = yield* another
        const queue = yield* watch(orders).pipe(Effect.provide(observer.context))
        const { cursor } = yield* reset(queue)
        lose(place)
        yield* pass(poll)
        assert.strictEqual(yield* watchFails(Queue.take(queue)), "Unavailable")
        // Nobody is told that there is nothing before somebody is there again.
        const early = yield* watch(orders, cursor).pipe(Effect.provide(observer.context))
        assert.strictEqual(yield* watchFails(Queue.take(early)), "Unavailable")
        assert.isTrue(!Fs.existsSync(place.path) || Fs.statSync(place.path).size === 0)
        // The registrants hear of it at once.
        assert.strictEqual((yield* lease.lost).reason._tag, "LeaseLost")
        assert.strictEqual(yield* reason(registry.renew(lease)), "LeaseLost")
        yield* registry.revoke(lease)
        yield* register(1)
        const again = yield* watch(orders, cursor).pipe(Effect.provide(observer.context))
        assert.deepStrictEqual(addresses((yield* reset(again)).endpoints), [instance(1).address])
        yield* register(3)
        assert.deepStrictEqual(told(yield* changed(again)), ["+i-3:1"])
        assert.deepStrictEqual(
          yield* sql((file) =>
            file
              .prepare("PRAGMA integrity_check")
              .all()
              .map((row) => row["integrity_check"])
          ),
          ["ok"]
        )
      })
    )
  }

  test(
    "F-local-c: tells the watches that run of a loss that somebody else's call noticed first",
    Effect.gen(function* () {
      const { path } = yield* Place
      yield* register(1)
      yield* unwatchable
      const { context } = yield* another
      const queue = yield* watch(orders).pipe(Effect.provide(context))
      yield* reset(queue)
      const failing = yield* Effect.forkChild(watchFails(Queue.take(queue)))
      Fs.rmSync(path)
      const early = yield* watch(bills).pipe(Effect.provide(context))
      assert.strictEqual(yield* watchFails(Queue.take(early)), "Unavailable")
      yield* pass(Duration.times(poll, 4))
      assert.deepStrictEqual(failing.pollUnsafe(), Exit.succeed("Unavailable"))
    })
  )

  test(
    "F-local-c: sets an old backup that was put back aside, and everybody registers in a new file",
    Effect.gen(function* () {
      const { path } = yield* Place
      const lease = yield* register(1)
      yield* sql((file) => file.exec(`VACUUM INTO '${path}.backup'`))
      yield* register(2)
      const queue = yield* watch(orders)
      const { cursor } = yield* reset(queue)
      Fs.renameSync(`${path}.backup`, path)
      yield* pass(poll)
      assert.strictEqual(yield* watchFails(Queue.take(queue)), "Unavailable")
      assert.strictEqual((yield* lease.lost).reason._tag, "LeaseLost")
      const early = yield* watch(orders, cursor)
      assert.strictEqual(yield* watchFails(Queue.take(early)), "Unavailable")
      yield* register(3)
      const { endpoints } = yield* Effect.flatMap(watch(orders, cursor), reset)
      assert.deepStrictEqual(addresses(endpoints), [instance(3).address])
      assert.isTrue(Fs.existsSync(`${path}.copy`))
    })
  )

  test(
    "F-local-c: ends a watch whose file was replaced by another registry before anybody looked",
    Effect.gen(function* () {
      const { path } = yield* Place
      yield* register(1)
      const queue = yield* watch(orders)
      const { cursor } = yield* reset(queue)
      const other = yield* another
      Fs.rmSync(path)
      yield* other.registry.register(instance(2), ttl)
      yield* pass(poll)
      assert.strictEqual(yield* watchFails(Queue.take(queue)), "Unavailable")
      const { endpoints } = yield* Effect.flatMap(watch(orders, cursor), reset)
      assert.deepStrictEqual(addresses(endpoints), [instance(2).address])
    })
  )

  it.effect("F-local-c: several processes that make the file anew at once agree on one", () =>
    Effect.gen(function* () {
      const place = yield* Place
      const processes = yield* Effect.replicateEffect(another, 5)
      for (let round = 0; round < 10; round++) {
        const exits = yield* Effect.forEach(
          processes,
          ({ registry }, n) => Effect.exit(registry.register(instance(n), ttl)),
          { concurrency: "unbounded" }
        )
        assert.isTrue(exits.every((exit) => exit._tag === "Success"))
        assert.strictEqual(
          (yield* list(orders).pipe(Effect.provide(processes[0]?.context ?? Context.empty()))).length,
          5
        )
        Fs.rmSync(place.path)
      }
    }).pipe(Effect.provide(Place.layer), Effect.scoped)
  )

  it.effect("F-local-f: sends everything again to a watch whose position the log has lost, be it new or running", () =>
    Effect.gen(function* () {
      const registry = yield* Registry.Registry
      const resolver = yield* Resolver.Resolver
      const lease = yield* register(1)
      const pull = yield* Stream.toPull(resolver.watch(orders))
      const [{ cursor }] = yield* pull
      for (let weight = 2; weight < 9; weight++) yield* registry.update(lease, instance(1, { weight }))
      const fresh = yield* Effect.flatMap(watch(orders, cursor), reset)
      assert.deepStrictEqual(
        fresh.endpoints.map((one) => one.weight),
        [8]
      )
      const [running] = yield* pull
      assert.deepStrictEqual(running, fresh)
      const kept = yield* sql((file) => file.prepare("SELECT count(*) AS n FROM log").get()?.["n"])
      assert.strictEqual(kept, 5)
    }).pipe(Effect.provide(layer), Effect.provideService(Policy.LogLength, 5))
  )

  it.effect("F-local-g: says that a file may not be used, or is not a registry, and leaves it as it is", () =>
    Effect.gen(function* () {
      const { folder } = yield* Place
      const lines = { text: "milk, eggs, bread", short: "x", "long-text": "milk ".repeat(1000) }
      for (const [name, content] of Object.entries(lines)) Fs.writeFileSync(Path.join(folder, name), content)
      const theirs = new DatabaseSync(Path.join(folder, "database"))
      theirs.exec("CREATE TABLE shopping (item TEXT)")
      theirs.close()
      Fs.mkdirSync(Path.join(folder, "folder"))
      for (const name of [...Object.keys(lines), "database", "folder"]) {
        const path = Path.join(folder, name)
        const { context, registry } = yield* Effect.provideService(another, Place, { folder, path })
        assert.strictEqual(yield* reason(registry.register(instance(1), ttl)), "Unreadable", name)
        const read = Effect.scoped(Effect.flatMap(watch(orders), Queue.take)).pipe(Effect.provide(context))
        assert.strictEqual(yield* watchFails(read), name === "short" ? "Unavailable" : "Unreadable", name)
      }
      for (const [name, content] of Object.entries(lines)) {
        assert.strictEqual(Fs.readFileSync(Path.join(folder, name), "utf8"), content)
      }
    }).pipe(Effect.provide(Place.layer))
  )

  test(
    "F-local-g: refuses a file that is linked under several names, and uses it again once it has one",
    Effect.gen(function* () {
      const { folder, path } = yield* Place
      const link = Path.join(Path.dirname(folder), "orders.db")
      Fs.linkSync(path, link)
      for (const name of [link, path]) {
        const { context, registry } = yield* Effect.provideService(another, Place, { folder, path: name })
        const error = yield* Effect.flip(registry.register(instance(1), ttl))
        assert.strictEqual(error.reason._tag, "Unreadable")
        assert.include(error.message, `${name} is mounted or linked as a single file; mount its folder`)
        const read = Effect.scoped(Effect.flatMap(watch(orders), Queue.take)).pipe(Effect.provide(context))
        assert.strictEqual(yield* watchFails(read), "Unreadable")
      }
      assert.isFalse(Fs.existsSync(`${link}-wal`))
      Fs.rmSync(link)
      const { registry } = yield* another
      yield* registry.register(instance(1), ttl)
      assert.deepStrictEqual(yield* list(orders), [instance(1).address])
    })
  )

  it("F-local-g: tells from what Linux says of its mounts whether a file is one", () => {
    const mounts = [
      "22 27 0:21 / /proc rw,relatime - proc proc rw",
      "90 27 8:1 /srv/data /data rw,relatime shared:1 - ext4 /dev/sda1 rw",
      String.raw`91 27 8:1 /srv/a\040b.db /var/my\040own\134x/orders.db rw,relatime - ext4 /dev/sda1 rw`,
      ""
    ].join("\n")
    assert.isTrue(Mounts.isMountPoint(mounts, String.raw`/var/my own\x/orders.db`))
    assert.isTrue(Mounts.isMountPoint(mounts, "/data"))
    for (const path of ["/data/orders.db", "/var/my", "/srv/data", "/srv/a b.db"]) {
      assert.isFalse(Mounts.isMountPoint(mounts, path), path)
    }
  })

  test(
    "F-local-h: a process that slept longer than its time to live loses its lease once, and takes the same id again",
    Effect.gen(function* () {
      const registry = yield* Registry.Registry
      const lease = yield* register(1)
      const observer = yield* another
      const queue = yield* watch(orders).pipe(Effect.provide(observer.context))
      yield* reset(queue)
      yield* pass(Duration.sum(ttl, Duration.seconds(2)))
      assert.deepStrictEqual(told(yield* changed(queue)), ["-i-1"])
      assert.strictEqual((yield* lease.lost).reason._tag, "LeaseLost")
      assert.strictEqual(yield* reason(registry.renew(lease)), "LeaseLost")
      const again = yield* register(1)
      assert.deepStrictEqual(told(yield* changed(queue)), ["+i-1:1"])
      yield* pass(Duration.times(ttl, 0.5))
      yield* registry.renew(again)
      assert.deepStrictEqual(yield* sql((file) => file.prepare("SELECT count(*) AS n FROM leases").get()?.["n"]), 1)
    })
  )

  it.effect("F-local-h: lists nobody for much longer than his time to live, however seldom anybody looks", () =>
    Effect.gen(function* () {
      const seldom = Duration.seconds(5)
      yield* Effect.gen(function* () {
        yield* register(1)
        const queue = yield* watch(orders)
        yield* reset(queue)
        yield* pass(Duration.sum(ttl, Duration.times(seldom, 2)))
        assert.strictEqual(Queue.sizeUnsafe(queue), 1)
        assert.deepStrictEqual(told(yield* changed(queue)), ["-i-1"])
      }).pipe(Effect.provide(layer), Effect.provideService(Policy.Poll, seldom))
    })
  )

  test(
    "F-local-i: what a person changes in the file by hand is seen, skipped if it cannot be read, and repaired",
    Effect.gen(function* () {
      const registry = yield* Registry.Registry
      const lease = yield* register(1)
      const queue = yield* watch(orders)
      yield* reset(queue)
      yield* set(JSON.stringify({ ...instance(1), weight: 7 }))
      assert.deepStrictEqual(told(yield* changed(queue)), ["+i-1:7"])
      yield* registry.renew(lease)
      yield* set("{ spoilt")
      const { deltas, skipped } = yield* changed(queue)
      assert.deepStrictEqual([deltas.length, skipped.length, skipped[0]?.key], [0, 1, "orders/i-1"])
      assert.strictEqual(yield* reason(registry.renew(lease)), "EntryMissing")
      yield* register(1)
      assert.deepStrictEqual(told(yield* changed(queue)), ["+i-1:1"])
      yield* sql((file) => file.exec("UPDATE entries SET id = 'i-1b'; DELETE FROM leases"))
      const moved = [yield* changed(queue), yield* changed(queue)]
      assert.deepStrictEqual(moved.map(told), [["-i-1"], []])
      assert.match(moved[1]?.skipped[0]?.problem ?? "", /it describes orders\/i-1/)
    })
  )

  test(
    "F-local-l: on a full disk reads and watches go on, writes fail typed, and no lease is given up",
    Effect.gen(function* () {
      const registry = yield* Registry.Registry
      const lease = yield* register(1)
      const queue = yield* watch(orders)
      yield* reset(queue)
      // A real error of a full database, where the writes of the layer begin.
      const full = new DatabaseSync(":memory:")
      full.exec("PRAGMA max_page_count = 1")
      const spy = vi.spyOn(DatabaseSync.prototype, "exec").mockImplementation(function (this: DatabaseSync, text) {
        return text === "BEGIN IMMEDIATE" ? exec.call(full, "CREATE TABLE a (b)") : exec.call(this, text)
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => spy.mockRestore()))
      const writes = [registry.register(instance(2), ttl), registry.update(lease, instance(1)), registry.renew(lease)]
      for (const write of writes) assert.strictEqual(yield* reason(write), "Exhausted")
      assert.deepStrictEqual(yield* list(orders), [instance(1).address])
      spy.mockRestore()
      yield* registry.renew(lease)
      yield* register(2)
      assert.deepStrictEqual(told(yield* changed(queue)), ["+i-2:1"])
    })
  )

  test(
    "F-local-m: of two processes that claim one id the later keeps it, and the other hears of it at once",
    Effect.gen(function* () {
      const registry = yield* Registry.Registry
      const other = yield* another
      const older = yield* registry.register(instance(1, { startedAt: 1 }), ttl)
      const queue = yield* watch(orders)
      yield* reset(queue)
      const newer = yield* other.registry.register(instance(2, { id: instance(1).id, startedAt: 2 }), ttl)
      assert.strictEqual((yield* older.lost).reason._tag, "Superseded")
      for (let round = 0; round < 3; round++) {
        assert.strictEqual(yield* reason(registry.renew(older)), "Superseded")
        assert.strictEqual(yield* reason(registry.register(instance(1, { startedAt: 1 }), ttl)), "Superseded")
        yield* pass(Duration.times(ttl, 0.5))
        yield* other.registry.renew(newer)
      }
      assert.deepStrictEqual(told(yield* changed(queue)), ["+i-1:1"])
      assert.deepStrictEqual(yield* Queue.poll(queue), Option.none())
    })
  )
})

describe("Local", () => {
  test(
    "sees what another process writes at once, and by polling where its folder cannot be watched",
    Effect.gen(function* () {
      const queue = yield* watch(orders)
      yield* reset(queue)
      const other = yield* another
      yield* other.registry.register(instance(1), ttl)
      assert.deepStrictEqual(told(yield* changed(queue)), ["+i-1:1"])
      yield* unwatchable
      const poller = yield* another
      const polled = yield* watch(orders).pipe(Effect.provide(poller.context))
      yield* reset(polled)
      yield* other.registry.register(instance(2), ttl)
      yield* settle
      assert.deepStrictEqual(yield* Queue.poll(polled), Option.none())
      yield* pass(poll)
      assert.deepStrictEqual(told(yield* changed(polled)), ["+i-2:1"])
    })
  )

  test(
    "takes any time to live, and refuses for good what the file does not take",
    Effect.gen(function* () {
      const registry = yield* Registry.Registry
      for (const [n, lifetime] of [Duration.millis(10_000.5), Duration.infinity].entries()) {
        const lease = yield* registry.register(instance(n), lifetime)
        yield* registry.renew(lease)
      }
      yield* pass(Duration.seconds(15))
      assert.deepStrictEqual(yield* list(orders), [instance(1).address])
      yield* sql((file) => file.exec("CREATE TRIGGER no BEFORE INSERT ON leases BEGIN SELECT RAISE(ABORT, 'no'); END"))
      const error = yield* Effect.flip(register(2))
      assert.deepStrictEqual([error.reason._tag, error.isTransient], ["Unreadable", false])
      assert.deepStrictEqual(yield* list(orders), [instance(1).address])
    })
  )

  it.effect("makes no file and no folder before somebody registers", () =>
    Effect.gen(function* () {
      const { folder, path } = yield* Place
      const read = Effect.scoped(Effect.flatMap(watch(orders), Queue.take))
      assert.strictEqual(yield* watchFails(read), "Unavailable")
      assert.isFalse(Fs.existsSync(path))
      Fs.rmdirSync(folder)
      assert.strictEqual(yield* reason(register(1)), "Unavailable")
      assert.isFalse(Fs.existsSync(folder))
      Fs.mkdirSync(folder)
      yield* register(1)
      assert.deepStrictEqual(yield* list(orders), [instance(1).address])
      assert.strictEqual((yield* Resolver.Resolver).registry, `local:${path}`)
    }).pipe(Effect.provide(layerWithoutFile))
  )

  it.effect("takes its path from configuration, relative to the working directory", () =>
    Effect.gen(function* () {
      const { path } = yield* Place
      const relative = Path.relative(process.cwd(), path)
      yield* register(1).pipe(
        Effect.provide(
          Local.layerConfig({ path: Config.String("REGISTRY_FILE") }).pipe(
            Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ REGISTRY_FILE: relative })))
          )
        )
      )
      assert.isTrue(Fs.existsSync(path))
    }).pipe(Effect.provide(Place.layer))
  )
})
