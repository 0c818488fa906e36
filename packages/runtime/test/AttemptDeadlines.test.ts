import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { Endpoint, Policy } from "@muster/core"
import { Balancer } from "@muster/runtime"
import { balanced, instance } from "./fixtures/staticService.ts"

const service = Endpoint.ServiceName.make("orders")
const nothing = Layer.succeed(
  HttpClient.HttpClient,
  HttpClient.make(() => Effect.never)
)

/** A balancer in a scope of its own, and what it does with attempts that hang; `given` learns whose time is over. */
const world = Effect.gen(function* () {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(balanced(nothing, [instance("a", 1)]), scope)
  const balancer = Context.get(context, Balancer.Balancer)
  const over: Array<string> = []
  /** Lasts for so long, if it may. */
  const use = (name: string, deadline: number, lasts = Infinity) =>
    balancer
      .use(service, () => Effect.sleep(lasts))
      .pipe(
        Effect.provideService(Policy.Attempt, { deadline: Duration.millis(deadline), attempts: 1 }),
        Effect.catchReason("BalancerError", "DeadlineExceeded", () => Effect.sync(() => over.push(name))),
        Effect.forkChild({ startImmediately: true })
      )
  yield* use("warm", 1000, 0)
  yield* TestClock.adjust(0)
  return { over, scope, use }
})

describe("the deadlines of attempts", () => {
  it.effect("each ends at its own, whichever began first", () =>
    Effect.gen(function* () {
      const { over, use } = yield* world
      yield* use("late", 900)
      yield* use("early", 10)
      yield* use("between", 500)
      yield* TestClock.adjust(9)
      assert.deepStrictEqual(over, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(over, ["early"])
      yield* TestClock.adjust(489)
      assert.deepStrictEqual(over, ["early"])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(over, ["early", "between"])
      yield* TestClock.adjust(400)
      assert.deepStrictEqual(over, ["early", "between", "late"])
    })
  )

  it.effect("those that are due within the same millisecond end together, because no timer is finer", () =>
    Effect.gen(function* () {
      const { over, use } = yield* world
      for (const [index, deadline] of [10, 10.3, 10.6, 12].entries()) yield* use(String(index), deadline)
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(over, ["0", "1", "2"])
    })
  )

  it.effect("one that ended in time or was interrupted delays none that began after it", () =>
    Effect.gen(function* () {
      const { over, use } = yield* world
      yield* use("in time", 10, 2)
      yield* Fiber.interrupt(yield* use("interrupted", 12))
      yield* TestClock.adjust(5)
      yield* use("hangs", 10)
      yield* TestClock.adjust(9)
      assert.deepStrictEqual(over, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(over, ["hangs"])
      yield* TestClock.adjust("1 minute")
      yield* use("after a pause", 10)
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(over, ["hangs", "after a pause"])
    })
  )

  it.effect("one without an end lets an attempt take its time, and delays no other", () =>
    Effect.gen(function* () {
      const { over, use } = yield* world
      const endless = yield* use("endless", Infinity)
      yield* use("hangs", 500)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(over, ["hangs"])
      assert.isUndefined(endless.pollUnsafe())
    })
  )

  it.effect("one that is on its way when the balancer is released keeps its deadline", () =>
    Effect.gen(function* () {
      const { over, scope, use } = yield* world
      yield* use("hangs", 500)
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust(499)
      assert.deepStrictEqual(over, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(over, ["hangs"])
    })
  )
})
