import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Queue } from "effect"
import { TestClock } from "effect/testing"
import { Policy, Registry } from "@muster/core"
import * as Memory from "@muster/backends/Memory"
import { changed, instance, orders, reason, suite, watch } from "./RegistryContract.ts"

suite("Memory", Memory.layer, {
  clock: "virtual",
  ttl: Duration.seconds(10),
  slack: Duration.zero,
  write: (service, id, text) => Memory.Admin.use((admin) => admin.write(service, id, text)),
  remove: (service, id) => Memory.Admin.use((admin) => admin.remove(service, id))
})

const ttl = Duration.seconds(10)

describe("Memory", () => {
  it.effect("says by `lost` when a lease expires, is superseded, or is wiped away", () =>
    Effect.gen(function* () {
      const registry = yield* Registry.Registry
      const admin = yield* Memory.Admin
      const expired = yield* registry.register(instance(1), ttl)
      yield* TestClock.adjust(ttl)
      assert.strictEqual((yield* expired.lost).reason._tag, "LeaseLost")
      const older = yield* registry.register(instance(1, { startedAt: 1 }), ttl)
      const newer = yield* registry.register(instance(1, { startedAt: 2 }), ttl)
      assert.strictEqual((yield* older.lost).reason._tag, "Superseded")
      yield* admin.wipe
      assert.strictEqual((yield* newer.lost).reason._tag, "LeaseLost")
    }).pipe(Effect.provide(Memory.layer))
  )

  it.effect("fails every call and every watch while it is down, and expires nothing meanwhile", () =>
    Effect.gen(function* () {
      const registry = yield* Registry.Registry
      const admin = yield* Memory.Admin
      const lease = yield* registry.register(instance(1), ttl)
      const queue = yield* watch(orders)
      yield* Queue.take(queue)
      yield* admin.down
      assert.strictEqual((yield* Effect.flip(Queue.take(queue)))._tag, "RegistryError")
      for (const call of [
        registry.renew(lease),
        registry.update(lease, instance(1)),
        registry.revoke(lease),
        registry.register(instance(2), ttl)
      ]) {
        assert.strictEqual(yield* reason(call), "Unavailable")
      }
      yield* TestClock.adjust(Duration.times(ttl, 3))
      yield* admin.up
      yield* TestClock.adjust(Duration.times(ttl, 0.9))
      yield* registry.renew(lease)
      const again = yield* watch(orders)
      assert.strictEqual((yield* Queue.take(again))._tag, "Reset")
      yield* TestClock.adjust(ttl)
      assert.strictEqual((yield* changed(again)).deltas.length, 1)
    }).pipe(Effect.provide(Memory.layer))
  )

  it.effect("sends a watch a full read when its cursor is from before a wipe or the log is trimmed", () =>
    Effect.gen(function* () {
      const registry = yield* Registry.Registry
      const admin = yield* Memory.Admin
      const { cursor } = yield* Effect.scoped(Effect.flatMap(watch(orders), Queue.take))
      yield* registry.register(instance(1), ttl)
      const first = yield* Effect.scoped(Effect.flatMap(watch(orders, cursor), Queue.take))
      assert.strictEqual(first._tag, "Resumed")
      yield* admin.trim
      const trimmed = yield* Effect.scoped(Effect.flatMap(watch(orders, cursor), Queue.take))
      assert.strictEqual(trimmed._tag === "Reset" && trimmed.endpoints.length, 1)
      const live = yield* watch(orders)
      const before = yield* Queue.take(live)
      yield* admin.wipe
      const wiped = yield* Queue.take(live)
      assert.strictEqual(wiped._tag === "Reset" && wiped.endpoints.length, 0)
      const later = yield* Effect.scoped(Effect.flatMap(watch(orders, before.cursor), Queue.take))
      assert.strictEqual(later._tag, "Reset")
    }).pipe(Effect.provide(Memory.layer))
  )

  it.effect("keeps a bounded log", () =>
    Effect.gen(function* () {
      const registry = yield* Registry.Registry
      const lease = yield* registry.register(instance(1), ttl)
      const cursors = [(yield* Effect.scoped(Effect.flatMap(watch(orders), Queue.take))).cursor]
      for (let n = 0; n < 20; n++) {
        yield* registry.update(lease, instance(1, { weight: n }))
        cursors.push((yield* Effect.scoped(Effect.flatMap(watch(orders), Queue.take))).cursor)
      }
      const answers = yield* Effect.forEach(cursors, (cursor) =>
        Effect.map(Effect.scoped(Effect.flatMap(watch(orders, cursor), Queue.take)), (change) => change._tag)
      )
      const kept = answers.filter((tag) => tag === "Resumed").length
      assert.isAtLeast(kept, 5)
      assert.isAtMost(kept, 11)
      assert.deepStrictEqual(answers, answers.toSorted())
    }).pipe(Effect.provide(Memory.layer), Effect.provideService(Policy.LogLength, 5))
  )

  it.effect("releases the timers of its leases with its scope", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(
        Effect.scoped(
          Effect.gen(function* () {
            const registry = yield* Registry.Registry
            return yield* registry.register(instance(1), ttl)
          }).pipe(Effect.provide(Memory.layer))
        )
      )
      const lease = yield* Fiber.join(fiber)
      yield* TestClock.adjust(Duration.times(ttl, 2))
      const lost = yield* Effect.forkChild(lease.lost)
      yield* Effect.yieldNow
      assert.isUndefined(lost.pollUnsafe())
    })
  )
})
