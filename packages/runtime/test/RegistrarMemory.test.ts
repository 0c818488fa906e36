import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Exit, Layer, References, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Memory from "@muster/backends/Memory"
import { type Change, Endpoint, Registry, Resolver } from "@muster/core"
import { Registrar } from "@muster/runtime"
import { settle } from "./fixtures/ScriptedResolver.ts"
import { wallClockOffBy } from "../../backends/test/fixtures/wallClock.ts"

const orders = Endpoint.ServiceName.make("orders")
const id = Endpoint.InstanceId.make("a")
const pass = (duration: Duration.Input) => Effect.andThen(TestClock.adjust(duration), settle)

/** Starts an instance in the registry of this test; `close` releases it as SIGTERM would. */
const start = (id: string, port: number) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const close = Scope.close(scope, Exit.void)
    yield* Effect.addFinalizer(() => Effect.forkDetach(close))
    const context = yield* Registrar.serve(Layer.empty, {
      service: "orders",
      id,
      advertise: { host: "127.0.0.1", port }
    }).pipe(Layer.buildWithScope(scope))
    yield* settle
    return { ...Context.get(context, Registrar.Registrar), close }
  })

/** What somebody who follows the service hears, in words. */
const follow = Effect.gen(function* () {
  const resolver = yield* Resolver.Resolver
  const heard: Array<string> = []
  const say = (change: Change.Change) => {
    if (change._tag === "Reset") heard.push(`Reset ${change.endpoints.map(({ id }) => id).join()}`)
    if (change._tag !== "Changed") return
    for (const delta of change.deltas) {
      if (delta._tag === "Removed") heard.push(`Removed ${delta.id}`)
      else heard.push(`Put ${delta.endpoint.id} ${delta.endpoint.port}${delta.endpoint.draining ? " draining" : ""}`)
    }
  }
  yield* resolver.watch(orders).pipe(
    Stream.runForEach((change) => Effect.sync(() => say(change))),
    Effect.forkScoped
  )
  yield* settle
  return heard
})

const inMemory = <A, E>(test: Effect.Effect<A, E, Scope.Scope | Layer.Success<typeof Memory.layer>>) =>
  test.pipe(Effect.provide(Memory.layer), Effect.provideService(References.MinimumLogLevel, "None"))

/** What a process left behind that was killed when the wall clock was an hour later: its lease. */
const killed = (port: number) =>
  Effect.gen(function* () {
    const registry = yield* Registry.Registry
    const hourLater = Endpoint.Endpoint.make({ service: orders, id, host: "127.0.0.1", port, startedAt: 3_600_000 })
    return yield* registry.register(hourLater, Duration.seconds(10))
  })

describe("Registrar in Memory", () => {
  it.effect("is heard to come once, to drain, and to leave; nothing else in an hour", () =>
    Effect.gen(function* () {
      const heard = yield* follow
      const { close } = yield* start("a", 4000)
      yield* pass("1 hour")
      assert.deepStrictEqual(heard, ["Reset ", "Put a 4000"])
      yield* Effect.forkChild(close)
      yield* settle
      assert.deepStrictEqual(heard.slice(2), ["Put a 4000 draining"])
      yield* pass("1 second")
      assert.deepStrictEqual(heard.slice(3), ["Removed a"])
      yield* pass("1 minute")
      assert.strictEqual(heard.length, 4)
    }).pipe(inMemory)
  )

  it.effect("F-a: takes its own lease back after an outage of any length; nobody hears of it", () =>
    Effect.gen(function* () {
      const admin = yield* Memory.Admin
      const { state } = yield* start("a", 4000)
      for (const outage of ["5 seconds", "1 minute", "1 hour"] as const) {
        yield* admin.down
        yield* pass(outage)
        yield* admin.up
        const heard = yield* follow
        yield* pass("9 seconds")
        assert.strictEqual((yield* state)._tag, "Registered")
        yield* pass("1 minute")
        assert.deepStrictEqual(heard, ["Reset a"])
      }
    }).pipe(inMemory)
  )

  it.effect("F-c: is back within a renewal after the registry was wiped, and within an instant if it is told", () =>
    Effect.gen(function* () {
      const admin = yield* Memory.Admin
      const { registered } = yield* start("a", 4000)
      yield* registered
      const heard = yield* follow
      yield* admin.wipe
      yield* pass("125 millis")
      assert.deepStrictEqual(heard, ["Reset a", "Reset ", "Put a 4000"])
      yield* admin.remove(orders, "a")
      yield* pass("4 seconds")
      assert.deepStrictEqual(heard.slice(3), ["Removed a", "Put a 4000"])
      yield* pass("1 minute")
      assert.strictEqual(heard.length, 5)
    }).pipe(inMemory)
  )

  it.effect(
    "F-m: the later of two processes with one id is heard, once, and stays; the older one leaves it alone",
    () =>
      Effect.gen(function* () {
        const older = yield* start("a", 4000)
        yield* pass("1 second")
        const heard = yield* follow
        const newer = yield* start("a", 4001)
        yield* pass("1 minute")
        yield* older.close
        yield* pass("1 minute")
        assert.deepStrictEqual(heard, ["Reset a", "Put a 4001"])
        assert.deepStrictEqual([(yield* older.state)._tag, (yield* newer.state)._tag], ["Withdrawn", "Registered"])
      }).pipe(inMemory)
  )

  describe("after the wall clock stepped back by an hour", () => {
    it.effect("F-m, F-c3: a server that is started again on its address takes its entry over at once", () =>
      Effect.gen(function* () {
        const lease = yield* killed(4000)
        const registry = yield* Registry.Registry
        const heard = yield* follow
        const again = yield* start(id, 4000)
        assert.strictEqual((yield* again.state)._tag, "Registered")
        assert.strictEqual((yield* Effect.flip(registry.renew(lease))).reason._tag, "Superseded")
        yield* pass("1 minute")
        assert.deepStrictEqual(heard, ["Reset a", "Put a 4000"])
        assert.deepStrictEqual((yield* again.state)._tag, "Registered")
        yield* Effect.forkChild(again.close)
        yield* pass("1 second")
        assert.deepStrictEqual(heard.slice(2), ["Put a 4000 draining", "Removed a"])
      }).pipe(inMemory)
    )

    it.effect("F-m, F-c3: a server that is started again elsewhere waits for the lease of its predecessor to end", () =>
      Effect.gen(function* () {
        yield* killed(4000)
        const heard = yield* follow
        const again = yield* start(id, 4001)
        yield* pass("9999 millis")
        assert.strictEqual((yield* again.state)._tag, "Granting")
        yield* pass("6 seconds")
        assert.strictEqual((yield* again.state)._tag, "Registered")
        yield* pass("1 minute")
        assert.deepStrictEqual(heard, ["Reset a", "Removed a", "Put a 4001"])
      }).pipe(inMemory)
    )

    it.effect("F-m: one who lives is no predecessor: whoever claims his id is fenced for good once that is sure", () =>
      Effect.gen(function* () {
        const registry = yield* Registry.Registry
        const lease = yield* killed(4000)
        yield* Effect.forkChild(Effect.forever(Effect.andThen(Effect.sleep("3 seconds"), registry.renew(lease))))
        const heard = yield* follow
        const other = yield* start(id, 4001)
        yield* pass("20 seconds")
        assert.strictEqual((yield* other.state)._tag, "Fenced")
        yield* registry.revoke(lease)
        yield* pass("1 hour")
        assert.strictEqual((yield* other.state)._tag, "Fenced")
        assert.deepStrictEqual(heard, ["Reset a", "Removed a"])
      }).pipe(inMemory)
    )

    it.effect("F-m: who was registered himself does not take back what a later one has, wherever that one is", () =>
      Effect.gen(function* () {
        const admin = yield* Memory.Admin
        const first = yield* start(id, 4000)
        yield* admin.wipe
        yield* killed(4000)
        const heard = yield* follow
        yield* pass("1 second")
        assert.strictEqual((yield* first.state)._tag, "Fenced")
        assert.deepStrictEqual(heard, ["Reset a"])
      }).pipe(inMemory)
    )

    it.effect(
      "F-m: of two servers with one id on one address the one that started last has it, and neither flaps",
      () =>
        Effect.gen(function* () {
          yield* pass("2 hours")
          const first = yield* start(id, 4000)
          const hourAgo = yield* wallClockOffBy(() => -3_600_000)
          const last = yield* Effect.provideService(start(id, 4000), Clock.Clock, hourAgo)
          const heard = yield* follow
          yield* pass("10 minutes")
          assert.deepStrictEqual([(yield* first.state)._tag, (yield* last.state)._tag], ["Fenced", "Registered"])
          assert.deepStrictEqual(heard, ["Reset a"])
        }).pipe(inMemory)
    )
  })
})
