/**
 * What every registry has to do, as tests: `suite` for those that can be written, `reads` for those that only answer.
 *
 * A back end hands over its layer and a small harness for what no port can do: the operator's hand in its data and
 * the way time passes. Nothing here knows a back end, and none of them gets an exception.
 */
import { Array, Duration, Effect, Equal, Fiber, Layer, Metric, Option, Queue, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { assert, describe, it } from "@effect/vitest"
import { Change, Endpoint, Registry, type RegistryError, Resolver, Snapshot } from "@muster/core"

/** Registering thousands one by one takes long on a busy machine, in milliseconds. */
const patience = 240_000

/** What a test needs to do to a registry that its ports cannot. */
export interface Harness<R> {
  /** Virtual time is the test clock's; live time is waited for. */
  readonly clock: "virtual" | "live"
  /** A time to live that the registry grants as it is. */
  readonly ttl: Duration.Duration
  /** How much later than its time to live an entry may still be listed. */
  readonly slack: Duration.Duration
  /** Writes whatever text as the entry of this id. */
  readonly write: (service: Endpoint.ServiceName, id: string, text: string) => Effect.Effect<void, unknown, R>
  /** Removes the entry of this id and leaves its lease. */
  readonly remove: (service: Endpoint.ServiceName, id: string) => Effect.Effect<void, unknown, R>
  /** Registers thousands, each under a lease of its own that nobody renews; by default one by one through the port. */
  readonly fill?: (
    endpoints: ReadonlyArray<Endpoint.Endpoint>,
    ttl: Duration.Duration
  ) => Effect.Effect<void, unknown, R | Registry.Registry>
}

export const orders = Endpoint.ServiceName.make("orders")

/** An instance of `orders`; its port follows from `n`, so no two of them share an address. */
export const instance = (n: number, fields: Partial<ConstructorParameters<typeof Endpoint.Endpoint>[0]> = {}) =>
  new Endpoint.Endpoint({
    service: orders,
    id: Endpoint.InstanceId.make(`i-${n}`),
    host: "127.0.0.1",
    port: 1 + (n % 65_535),
    ...fields
  })

/** Follows a service; what the registry says is taken from the queue. */
export const watch = Effect.fnUntraced(function* (service: Endpoint.ServiceName, from?: Change.Cursor) {
  const resolver = yield* Resolver.Resolver
  return yield* Stream.toQueue(resolver.watch(service, from), { capacity: "unbounded" })
})

type Watch = Effect.Success<ReturnType<typeof watch>>

/**
 * Takes a full listing that is told again for what is new in it: a `Reset` after the first change becomes a `Changed`, or
 * nothing when it tells nothing new. So a registry that polls is asked for the same as one that tells each revision,
 * whose changes pass as they are.
 */
const news = <E, R>(changes: Stream.Stream<Change.Change, E, R>) =>
  Stream.mapAccum(
    changes,
    (): Listing | undefined => undefined,
    (before, change) => {
      const after = change._tag === "Resumed" ? before : fold(before, change)
      const news = before !== undefined && after !== undefined && change._tag === "Reset" ? diff(before, after) : change
      return [after, "deltas" in news && news.deltas.length + news.skipped.length === 0 ? [] : [news]]
    }
  )

/** Follows a service; what is new is taken from the queue. */
const follow = Effect.fnUntraced(function* (service: Endpoint.ServiceName, from?: Change.Cursor) {
  const resolver = yield* Resolver.Resolver
  return yield* Stream.toQueue(news(resolver.watch(service, from)), { capacity: "unbounded" })
})

/** What there is under each id: an endpoint, or an entry that cannot be read. */
interface Listing {
  readonly cursor: Change.Cursor
  readonly entries: ReadonlyMap<string, Endpoint.Endpoint | Change.Skipped>
}

const fold = (before: Listing | undefined, change: Exclude<Change.Change, { _tag: "Resumed" }>): Listing => {
  const entries = new Map(change._tag === "Changed" ? before?.entries : [])
  for (const skipped of change.skipped) entries.set(skipped.id ?? skipped.key, skipped)
  if (change._tag === "Reset") for (const endpoint of change.endpoints) entries.set(endpoint.id, endpoint)
  for (const delta of change._tag === "Changed" ? change.deltas : []) {
    if (delta._tag === "Put") entries.set(delta.endpoint.id, delta.endpoint)
    else entries.delete(delta.id)
  }
  return { cursor: change.cursor, entries }
}

const diff = (before: Listing, after: Listing) => {
  const deltas: Array<Change.Delta> = []
  const skipped: Array<Change.Skipped> = []
  for (const id of before.entries.keys()) {
    if (!after.entries.has(id)) deltas.push({ _tag: "Removed", id: Endpoint.InstanceId.make(id) })
  }
  for (const [id, entry] of after.entries) {
    const known = before.entries.get(id)
    if (entry instanceof Endpoint.Endpoint) {
      const isKnown = known instanceof Endpoint.Endpoint && Endpoint.same(known, entry)
      if (!isKnown) deltas.push({ _tag: "Put", endpoint: entry })
    } else if (!Equal.equals(known, entry)) skipped.push(entry)
  }
  return Change.Change.make({ _tag: "Changed", deltas, skipped, cursor: after.cursor })
}

/** The full read that a new watch begins with. */
export const list = (service: Endpoint.ServiceName) =>
  Effect.scoped(Effect.flatMap(watch(service), reset)).pipe(Effect.map(({ endpoints }) => addresses(endpoints)))

export const addresses = (endpoints: Iterable<Endpoint.Endpoint>) =>
  Array.fromIterable(endpoints)
    .map((one) => one.address)
    .toSorted()

export const reset = (queue: Watch) => Effect.map(Queue.take(queue), (change) => only("Reset", change))
export const changed = (queue: Watch) => Effect.map(Queue.take(queue), (change) => only("Changed", change))

function only<Tag extends Change.Change["_tag"]>(tag: Tag, change: Change.Change) {
  assert.strictEqual(change._tag, tag, JSON.stringify(change))
  return change as Extract<Change.Change, { readonly _tag: Tag }>
}

export const told = ({ deltas }: { readonly deltas: ReadonlyArray<Change.Delta> }) =>
  deltas.map((delta) => (delta._tag === "Put" ? `+${delta.endpoint.id}:${delta.endpoint.weight}` : `-${delta.id}`))

/** The reason for which it fails; a success fails the test. */
export const reason = <A, R>(effect: Effect.Effect<A, RegistryError.RegistryError, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason._tag)

/**
 * Follows what is said through a history of listings to its end: a `Changed` leads to the very next one, a `Reset` may
 * repeat or leap, and nothing ever goes back.
 */
const walk = Effect.fnUntraced(function* (
  queue: Watch,
  start: { readonly cursor: Change.Cursor; readonly snapshot: Snapshot.Snapshot },
  history: ReadonlyArray<ReadonlyArray<string>>
) {
  let { cursor, snapshot } = start
  let at = 0
  while (at < history.length - 1) {
    const change = yield* Queue.take(queue)
    if (change._tag === "Resumed") return assert.fail("resumed in the middle")
    const isReset = change._tag === "Reset"
    snapshot = isReset ? Snapshot.make(change.endpoints) : Snapshot.apply(snapshot, change.deltas)
    const listing = Snapshot.endpoints(snapshot).map(({ id, weight }) => `${id}:${weight}`)
    const reached = history.findIndex((one, n) => n >= at && Equal.equals(one, listing.toSorted()))
    assert.isTrue(
      isReset ? reached >= at : reached === at + 1,
      `${change._tag}: ${String(listing)} after ${String(history[at])}`
    )
    if (!isReset) assert.notStrictEqual(change.cursor, cursor)
    at = reached
    cursor = change.cursor
  }
})

/** Counts the fibers that are alive while the effect runs. */
const countingFibers = <A, E, R>(f: (alive: () => number) => Effect.Effect<A, E, R>) => {
  let alive = 0
  return f(() => alive).pipe(
    Effect.provideService(Metric.FiberRuntimeMetrics, {
      recordFiberStart: () => void alive++,
      recordFiberEnd: () => void alive--
    })
  )
}

/** One turn of the event loop, whatever the clock. */
const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

/** Lets everything happen that is under way outside of the test clock, such as notices of the file system. */
export const settle = Effect.replicateEffect(turn, 5, { discard: true })

/** Lets virtual time pass in steps, in each of which real work may be done: a jump would look like a suspended machine. */
export const passVirtually = Effect.fnUntraced(function* (duration: Duration.Duration) {
  let left = Duration.toMillis(duration)
  for (; left > 0; left -= 250) yield* Effect.andThen(TestClock.adjust(Math.min(left, 250)), settle)
})

/** The handles that are open: sockets, file watchers and the like; not the timers of the test runner. */
const openHandles = () =>
  process
    .getActiveResourcesInfo()
    .filter((kind) => !/^(Timeout|Immediate|FSReq\w*|WriteWrap)$/.test(kind))
    .toSorted()

/**
 * What every Resolver does; `listing` makes one that lists exactly these addresses as instances of `orders`, `most` is
 * how many of them its wire can carry. What it may keep open for a moment is closed once `settled` completes.
 */
export const reads = <E>(
  name: string,
  listing: (endpoints: ReadonlyArray<Endpoint.Endpoint>) => Layer.Layer<Resolver.Resolver, E>,
  test: typeof it.effect = it.effect,
  most = 10_000,
  settled: Effect.Effect<void> = Effect.void
) => {
  const three = [instance(1), instance(2), instance(3)]

  describe(`${name}, read`, () => {
    test("begins with the whole inventory and stays open", () =>
      Effect.gen(function* () {
        const queue = yield* follow(orders)
        const { endpoints, skipped } = yield* reset(queue)
        assert.deepStrictEqual(addresses(endpoints), addresses(three))
        assert.deepStrictEqual(skipped, [])
        const next = yield* Effect.forkChild(Effect.exit(Queue.take(queue)))
        for (let turns = 0; turns < 10; turns++) yield* Effect.yieldNow
        assert.isUndefined(next.pollUnsafe())
      }).pipe(Effect.provide(listing(three))))

    test("begins with an authoritative nothing where nothing is", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* list(orders), [])
      }).pipe(Effect.provide(listing([]))))

    test("resumes from its own cursor, or tells everything again", () =>
      Effect.gen(function* () {
        const { cursor } = yield* Effect.scoped(Effect.flatMap(watch(orders), reset))
        const change = yield* Effect.flatMap(watch(orders, cursor), Queue.take)
        if (change._tag === "Resumed") assert.strictEqual(change.cursor, cursor)
        else assert.deepStrictEqual(addresses(only("Reset", change).endpoints), addresses(three))
      }).pipe(Effect.provide(listing(three))))

    test("tells everything again to a cursor that it never gave", () =>
      Effect.gen(function* () {
        for (const nonsense of ["", "@", "0", "nonsense", "1@99999999", "-1", "9".repeat(400)]) {
          const { endpoints } = yield* Effect.flatMap(watch(orders, Change.Cursor.make(nonsense)), reset)
          assert.deepStrictEqual(addresses(endpoints), addresses(three))
        }
      }).pipe(Effect.provide(listing(three))))

    test("answers many watchers alike", () =>
      Effect.gen(function* () {
        const queues = yield* Effect.replicateEffect(watch(orders), 100)
        for (const queue of queues) {
          assert.deepStrictEqual(addresses((yield* reset(queue)).endpoints), addresses(three))
        }
      }).pipe(Effect.provide(listing(three))))

    test("F-c5: leaves no fiber, timer, watch or handle behind when watches are cancelled", () =>
      countingFibers((alive) =>
        Effect.gen(function* () {
          const cancelled = Effect.scoped(Effect.flatMap(watch(orders), reset))
          const unread = Effect.scoped(watch(orders))
          yield* cancelled
          yield* settled
          yield* Effect.replicateEffect(turn, 100, { discard: true })
          const before = { fibers: alive(), handles: openHandles() }
          for (let n = 0; n < 100; n++) yield* Effect.andThen(cancelled, unread)
          yield* Effect.all(Array.replicate(cancelled, 100), { concurrency: "unbounded" })
          yield* settled
          // A socket that was destroyed is closed by the event loop, some turns later.
          for (let turns = 0; turns < 1000 && openHandles().length > before.handles.length; turns++) yield* turn
          assert.deepStrictEqual(openHandles(), before.handles)
          // A back end may be in the middle of something; 300 watches that left something behind are not overlooked.
          assert.isBelow(alive(), before.fibers + 20)
        }).pipe(Effect.provide(listing(three)))
      ))

    const many = Array.makeBy(most, (n) => instance(n))
    test(
      `lists ${most} endpoints`,
      () =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* list(orders), addresses(many))
        }).pipe(Effect.provide(listing(many))),
      patience
    )
  })
}

/** What every registry that can be written does, read half included. */
export const suite = <R, E>(
  name: string,
  layer: Layer.Layer<Registry.Registry | Resolver.Resolver | R, E>,
  harness: Harness<R>
) => {
  const { ttl } = harness
  const fault = `F-${name.toLowerCase()}`
  const run = harness.clock === "virtual" ? it.effect : it.live
  const pass = harness.clock === "virtual" ? passVirtually : Effect.sleep
  const test = (
    sentence: string,
    body: () => Effect.Effect<void, unknown, Registry.Registry | Resolver.Resolver | R | Scope.Scope>,
    timeout?: number
  ) => run(sentence, () => body().pipe(Effect.provide(layer)), timeout)
  /** Longer than any test that is not about the end of a lease. */
  const long = Duration.times(ttl, 30)
  const register = Effect.fnUntraced(function* (endpoint: Endpoint.Endpoint, lifetime = long) {
    const registry = yield* Registry.Registry
    return yield* registry.register(endpoint, lifetime)
  })
  const fill: NonNullable<typeof harness.fill> =
    harness.fill ??
    ((endpoints, lifetime) =>
      Effect.forEach(endpoints, (endpoint) => register(endpoint, lifetime), { concurrency: 64, discard: true }))

  reads(name, (endpoints) => Layer.effectDiscard(fill(endpoints, long)).pipe(Layer.provideMerge(layer)), run)

  describe(`${name}, written`, () => {
    test("tells each revision once, in order, with its cursor: register, update, revoke", () =>
      Effect.gen(function* () {
        const registry = yield* Registry.Registry
        const first = yield* register(instance(1))
        const queue = yield* watch(orders)
        const { cursor, endpoints } = yield* reset(queue)
        const second = yield* register(instance(2))
        yield* registry.update(first, instance(1, { weight: 5, draining: true }))
        yield* registry.revoke(second)
        yield* registry.revoke(first)
        const history = [["i-1:1"], ["i-1:1", "i-2:1"], ["i-1:5", "i-2:1"], ["i-1:5"], []]
        yield* walk(queue, { cursor, snapshot: Snapshot.make(endpoints) }, history)
      }))

    test("tells each revision when it happens", () =>
      Effect.gen(function* () {
        const registry = yield* Registry.Registry
        const first = yield* register(instance(1))
        const queue = yield* follow(orders)
        yield* reset(queue)
        const second = yield* register(instance(2))
        assert.deepStrictEqual(told(yield* changed(queue)), ["+i-2:1"])
        yield* registry.update(first, instance(1, { weight: 5, draining: true }))
        assert.deepStrictEqual(told(yield* changed(queue)), ["+i-1:5"])
        yield* registry.revoke(second)
        assert.deepStrictEqual(told(yield* changed(queue)), ["-i-2"])
        yield* registry.revoke(first)
        assert.deepStrictEqual(told(yield* changed(queue)), ["-i-1"])
      }))

    test("keeps every field of an endpoint", () =>
      Effect.gen(function* () {
        const endpoint = instance(1, {
          host: "::1",
          weight: 0.5,
          zone: "north",
          version: "1.2.3",
          startedAt: 1_700_000_000_000,
          metadata: { "ü/ ?": '☃\n"' }
        })
        yield* register(endpoint)
        assert.deepStrictEqual((yield* Effect.flatMap(follow(orders), reset)).endpoints, [endpoint])
      }))

    test("tells each of many concurrent registrations exactly once, to each of many watchers", () =>
      Effect.gen(function* () {
        const queues = yield* Effect.replicateEffect(follow(orders), 20)
        yield* Effect.forEach(queues, reset, { discard: true })
        yield* Effect.forEach(Array.range(1, 50), (n) => register(instance(n)), { concurrency: "unbounded" })
        for (const queue of queues) {
          const all: Array<string> = []
          while (all.length < 50) all.push(...told(yield* changed(queue)))
          assert.deepStrictEqual(
            all.toSorted(),
            Array.range(1, 50)
              .map((n) => `+i-${n}:1`)
              .toSorted()
          )
        }
      }))

    test("loses nothing for a watcher that is slow to take", () =>
      Effect.gen(function* () {
        const resolver = yield* Resolver.Resolver
        const pull = yield* Stream.toPull(news(resolver.watch(orders)))
        let snapshot = Snapshot.empty
        for (let n = 1; n <= 5; n++) {
          for (const change of yield* pull) {
            if (change._tag === "Reset") snapshot = Snapshot.make(change.endpoints)
            if (change._tag === "Changed") snapshot = Snapshot.apply(snapshot, change.deltas)
          }
          assert.strictEqual(Snapshot.size(snapshot), n - 1)
          yield* register(instance(n))
        }
      }))

    test("resumes by cursor without losing or doubling anything, or tells everything again", () =>
      Effect.gen(function* () {
        const registry = yield* Registry.Registry
        const first = yield* register(instance(1))
        const { endpoints, cursor } = yield* Effect.scoped(Effect.flatMap(follow(orders), reset))
        yield* register(instance(2))
        yield* register(instance(3))
        yield* registry.revoke(first)
        yield* register(instance(4))
        const queue = yield* follow(orders, cursor)
        const change = yield* Queue.take(queue)
        if (change._tag === "Resumed") {
          const missed = yield* Effect.replicateEffect(changed(queue), 4)
          assert.deepStrictEqual(missed.map(told), [["+i-2:1"], ["+i-3:1"], ["-i-1"], ["+i-4:1"]])
          // Each event's cursor resumes right behind it.
          const later = yield* follow(orders, missed[1]?.cursor)
          only("Resumed", yield* Queue.take(later))
          assert.deepStrictEqual(told(yield* changed(later)), ["-i-1"])
          assert.strictEqual(endpoints.length, 1)
        } else {
          const all = [instance(2), instance(3), instance(4)]
          assert.deepStrictEqual(addresses(only("Reset", change).endpoints), addresses(all))
        }
        yield* register(instance(5))
        assert.deepStrictEqual(told(yield* changed(queue)), ["+i-5:1"])
      }))

    test("keeps services apart whose names begin alike", () =>
      Effect.gen(function* () {
        const names = ["orders", "orders-eu", "orders.eu", "order"].map((name) => Endpoint.ServiceName.make(name))
        const queues = yield* Effect.forEach(names, (name) => follow(name))
        yield* Effect.forEach(queues, reset)
        for (const [n, service] of names.entries()) yield* register(instance(n, { service }))
        for (const [n, queue] of queues.entries()) {
          assert.deepStrictEqual(told(yield* changed(queue)), [`+i-${n}:1`])
        }
        for (const [n, service] of names.entries()) {
          assert.deepStrictEqual(yield* list(service), addresses([instance(n)]))
        }
      }))

    test("replaces its own entry without a moment of absence, and drops the older lease", () =>
      Effect.gen(function* () {
        const registry = yield* Registry.Registry
        const older = yield* register(instance(1))
        const queue = yield* follow(orders)
        yield* reset(queue)
        const newer = yield* register(instance(1, { weight: 2 }))
        assert.deepStrictEqual(told(yield* changed(queue)), ["+i-1:2"])
        assert.strictEqual(yield* reason(registry.renew(older)), "LeaseLost")
        yield* registry.revoke(older)
        yield* registry.renew(newer)
        assert.deepStrictEqual(yield* list(orders), addresses([instance(1)]))
      }))

    test("lists an entry for its time to live after each renewal, and no longer", () =>
      Effect.gen(function* () {
        const registry = yield* Registry.Registry
        const lease = yield* register(instance(1), ttl)
        assert.isAtLeast(Duration.toMillis(lease.ttl), Duration.toMillis(ttl))
        const queue = yield* follow(orders)
        yield* reset(queue)
        const most = Duration.times(ttl, 0.7)
        for (let n = 0; n < 3; n++) {
          yield* pass(most)
          yield* registry.renew(lease)
        }
        yield* pass(most)
        assert.deepStrictEqual(yield* list(orders), addresses([instance(1)]))
        assert.deepStrictEqual(yield* Queue.poll(queue), Option.none())
        yield* pass(Duration.sum(Duration.times(ttl, 0.3), harness.slack))
        assert.deepStrictEqual(told(yield* changed(queue)), ["-i-1"])
        assert.deepStrictEqual(yield* list(orders), [])
      }))

    test(`${fault}-h: tells a lost lease as LeaseLost, as it happens or at the next renewal, and takes the same id again`, () =>
      Effect.gen(function* () {
        const registry = yield* Registry.Registry
        const lease = yield* register(instance(1), ttl)
        const lost = yield* Effect.forkChild(lease.lost)
        yield* registry.renew(lease)
        assert.isUndefined(lost.pollUnsafe())
        yield* pass(Duration.sum(ttl, harness.slack))
        assert.strictEqual(yield* reason(registry.renew(lease)), "LeaseLost")
        assert.strictEqual(yield* reason(registry.update(lease, instance(1, { weight: 9 }))), "LeaseLost")
        const exit = lost.pollUnsafe()
        if (exit !== undefined) assert.strictEqual((yield* exit).reason._tag, "LeaseLost")
        yield* registry.revoke(lease)
        const again = yield* register(instance(1))
        yield* registry.renew(again)
        assert.deepStrictEqual(yield* list(orders), addresses([instance(1)]))
      }))

    test("tells a lease whose entry is gone as EntryMissing, and the entry can be put back", () =>
      Effect.gen(function* () {
        const registry = yield* Registry.Registry
        const lease = yield* register(instance(1))
        const queue = yield* follow(orders)
        yield* reset(queue)
        yield* harness.remove(orders, "i-1")
        assert.deepStrictEqual(told(yield* changed(queue)), ["-i-1"])
        assert.strictEqual(yield* reason(registry.renew(lease)), "EntryMissing")
        assert.strictEqual(yield* reason(registry.update(lease, instance(1))), "EntryMissing")
        yield* registry.renew(yield* register(instance(1)))
        assert.deepStrictEqual(told(yield* changed(queue)), ["+i-1:1"])
      }))

    test(`${fault}-m: gives an id that two claim to the one that started later, for good`, () =>
      Effect.gen(function* () {
        const registry = yield* Registry.Registry
        const older = instance(1, { startedAt: 1000 })
        const newer = instance(2, { id: older.id, startedAt: 2000 })
        const first = yield* register(older)
        // Judged when it is run, however long before it was made.
        const renewal = registry.renew(first)
        const queue = yield* follow(orders)
        yield* reset(queue)
        const second = yield* register(newer)
        assert.deepStrictEqual(told(yield* changed(queue)), ["+i-1:1"])
        for (const attempt of [renewal, registry.renew(first), registry.update(first, older), register(older)]) {
          assert.strictEqual(yield* reason(attempt), "Superseded")
        }
        yield* registry.revoke(first)
        yield* registry.renew(second)
        assert.deepStrictEqual(yield* list(orders), [newer.address])
        assert.deepStrictEqual(yield* Queue.poll(queue), Option.none())
      }))

    test(`${fault}-m: two that claim an id and started together agree on one of them`, () =>
      Effect.gen(function* () {
        const registry = yield* Registry.Registry
        const one = instance(1, { startedAt: 1000 })
        const other = instance(2, { id: one.id, startedAt: 1000 })
        const lease = yield* register(one)
        yield* registry.renew(yield* register(other))
        assert.strictEqual(yield* reason(registry.renew(lease)), "Superseded")
        assert.strictEqual(yield* reason(register(one)), "Superseded")
        assert.deepStrictEqual(yield* list(orders), [other.address])
      }))

    test("revokes a lease as often as it is asked to", () =>
      Effect.gen(function* () {
        const registry = yield* Registry.Registry
        const lease = yield* register(instance(1))
        const queue = yield* follow(orders)
        yield* reset(queue)
        yield* registry.revoke(lease)
        assert.deepStrictEqual(told(yield* changed(queue)), ["-i-1"])
        yield* registry.revoke(lease)
        yield* register(instance(2))
        assert.deepStrictEqual(told(yield* changed(queue)), ["+i-2:1"])
        assert.strictEqual(yield* reason(registry.renew(lease)), "LeaseLost")
      }))

    test(`${fault}-i: skips an entry that cannot be read, says which and why, and keeps the rest`, () =>
      Effect.gen(function* () {
        const good = JSON.stringify({ service: "orders", id: "i-9", host: "127.0.0.1", port: 9 })
        const texts = {
          "no-json": "¿",
          empty: "",
          "not-an-object": "[]",
          incomplete: "{}",
          "port-0": good.replace(":9}", ":0}").replace("i-9", "port-0"),
          "port-65536": good.replace(":9}", ":65536}").replace("i-9", "port-65536"),
          "bad-host": good.replace("127.0.0.1", "not a host").replace("i-9", "bad-host"),
          "another-id": good,
          "another-service": good.replace("orders", "bills").replace("i-9", "another-service")
        }
        const names = Object.keys(texts)
        yield* register(instance(1))
        const queue = yield* follow(orders)
        yield* reset(queue)
        for (const [id, text] of Object.entries(texts)) {
          yield* harness.write(orders, id, text)
          const change = yield* changed(queue)
          assert.deepStrictEqual([told(change), change.skipped.map((one) => one.id)], [[], [id]])
        }
        const { endpoints, skipped } = yield* Effect.flatMap(follow(orders), reset)
        assert.deepStrictEqual(addresses(endpoints), addresses([instance(1)]))
        assert.deepStrictEqual(skipped.map((one) => String(one.id)).toSorted(), names.toSorted())
        assert.isTrue(skipped.every((one) => one.problem.length > 0 && one.key.length > 0))
        yield* harness.write(orders, "i-9", good)
        assert.deepStrictEqual(told(yield* changed(queue)), ["+i-9:1"])
      }))

    test(`${fault}-i: an entry that was spoilt is repaired by whoever registered it`, () =>
      Effect.gen(function* () {
        const registry = yield* Registry.Registry
        const lease = yield* register(instance(1))
        const queue = yield* follow(orders)
        yield* reset(queue)
        yield* harness.write(orders, "i-1", "spoilt")
        assert.deepStrictEqual(
          (yield* changed(queue)).skipped.map((one) => one.id),
          [instance(1).id]
        )
        yield* registry.renew(lease).pipe(Effect.catch(() => register(instance(1))))
        yield* registry.update(lease, instance(1)).pipe(Effect.ignore)
        assert.deepStrictEqual(told(yield* changed(queue)), ["+i-1:1"])
      }))

    test(
      `${fault}-j: tells the end of 3 000 leases without losing or doubling one`,
      () =>
        Effect.gen(function* () {
          const all = Array.makeBy(3000, (n) => instance(n))
          const queue = yield* follow(orders)
          yield* reset(queue)
          yield* fill(all, ttl)
          yield* pass(Duration.sum(ttl, harness.slack))
          const said: Array<string> = []
          while (said.length < 6000) said.push(...told(yield* changed(queue)))
          const ends = all.flatMap(({ id }) => [`+${id}:1`, `-${id}`])
          assert.deepStrictEqual(said.toSorted(), ends.toSorted())
          assert.deepStrictEqual(yield* list(orders), [])
        }),
      patience
    )

    test("survives a caller that gives up at any point", () =>
      Effect.gen(function* () {
        const registry = yield* Registry.Registry
        for (let n = 0; n < 50; n++) {
          const fiber = yield* Effect.forkChild(register(instance(1)), { startImmediately: n % 2 === 0 })
          for (let turns = 0; turns < n % 5; turns++) yield* Effect.yieldNow
          yield* Fiber.interrupt(fiber)
        }
        const lease = yield* register(instance(1))
        yield* registry.renew(lease)
        yield* registry.revoke(lease)
        assert.deepStrictEqual(yield* list(orders), [])
      }))
  })
}
