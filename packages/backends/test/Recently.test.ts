import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Recently from "../src/internal/recently.ts"
import { wallClockOffBy } from "./fixtures/wallClock.ts"

const second = Duration.seconds(1)

const taking = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.flatMap(Effect.forkChild(effect), (fiber) => Effect.andThen(TestClock.adjust("100 millis"), Fiber.join(fiber)))

/** Counts its lookups, each of which takes 100 ms, and tells how many there were. */
const counting = Effect.gen(function* () {
  let lookups = 0
  let fails = false
  const lookup = () =>
    Effect.delay(
      Effect.suspend(() => (++lookups, fails ? Effect.fail("no" as const) : Effect.succeed(lookups))),
      "100 millis"
    )
  const { get, refresh } = yield* Recently.make({ capacity: 10, timeToLive: second, lookup })
  return {
    get: taking(get("a")),
    refresh: taking(refresh("a")),
    getMany: taking(Effect.all([get("a"), get("a"), get("a")], { concurrency: "unbounded" })),
    getManyInVain: taking(Effect.all([Effect.flip(get("a")), Effect.flip(get("a"))], { concurrency: "unbounded" })),
    lookups: () => lookups,
    fail: (yes: boolean) => void (fails = yes)
  }
})

describe("what was looked up recently", () => {
  it.effect("is looked up once for all who ask, and again when it is too old or somebody wants it to be of now", () =>
    Effect.gen(function* () {
      const it = yield* counting
      assert.deepStrictEqual(yield* it.getMany, [1, 1, 1])
      yield* TestClock.adjust("900 millis")
      assert.strictEqual(yield* it.get, 1)
      assert.deepStrictEqual(yield* it.getMany, [2, 2, 2])
      assert.strictEqual(yield* it.refresh, 3)
      assert.strictEqual(yield* it.get, 3)
    })
  )

  it.effect("is not kept when it failed, and is not asked for again by each who waited", () =>
    Effect.gen(function* () {
      const it = yield* counting
      it.fail(true)
      assert.deepStrictEqual(yield* it.getManyInVain, ["no", "no"])
      assert.strictEqual(it.lookups(), 1)
      it.fail(false)
      assert.strictEqual(yield* it.get, 2)
      yield* TestClock.adjust(second)
      it.fail(true)
      assert.deepStrictEqual(yield* it.getManyInVain, ["no", "no"])
      assert.strictEqual(it.lookups(), 3)
    })
  )

  for (const jump of [Duration.hours(1), Duration.hours(-1)]) {
    it.effect(`F-c3: is as old as it is, although the wall clock jumps by ${Duration.format(jump)}`, () =>
      Effect.gen(function* () {
        let offset = 0
        yield* Effect.gen(function* () {
          const it = yield* counting
          assert.strictEqual(yield* it.get, 1)
          offset = Duration.toMillis(jump)
          assert.strictEqual(yield* it.get, 1)
          yield* TestClock.adjust(second)
          assert.strictEqual(yield* it.get, 2)
        }).pipe(Effect.provideService(Clock.Clock, yield* wallClockOffBy(() => offset)))
      })
    )
  }
})
