import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Metric, Random, Stream } from "effect"
import { HttpBody, HttpClient, HttpClientRequest } from "effect/http"
import { TestClock } from "effect/testing"
import { type Endpoint, Policy } from "@muster/core"
import { Balancer } from "@muster/runtime"
import { balanced, instance, requestsInFlight } from "./fixtures/staticService.ts"
import { type Answer, get, ok, post, reset, scripted, status, statusOf, times } from "./fixtures/scriptedClient.ts"
import * as Tracing from "./fixtures/tracing.ts"

const two = [instance("a", 1), instance("b", 2)]
const three = [...two, instance("c", 3)]

/** A world in which a request is hedged after 50 ms; the first attempt of each request is answered by `first`. */
const world = (first: Answer, second: Answer) => {
  const interrupted: Array<number> = []
  const begun: Array<number> = []
  let attempts = 0
  const { asked, layer } = scripted((port, request) =>
    Effect.suspend(() => {
      begun.push(port)
      return attempts++ === 0 ? first(port, request) : second(port, request)
    }).pipe(Effect.onInterrupt(() => Effect.sync(() => interrupted.push(port))))
  )
  return { asked, begun, interrupted, layer, again: () => (attempts = 0) }
}

const hedging = Layer.succeed(Policy.Hedge, { after: Duration.millis(50) })

const budget = (perSecond: number) =>
  Layer.succeed(Policy.RetryBudget, { ratio: 0, perSecond, window: Duration.seconds(10) })

type World = ReturnType<typeof world>

const scenario = <A, E>(
  made: World,
  run: Effect.Effect<A, E, HttpClient.HttpClient | Balancer.Balancer>,
  {
    instances = two,
    listedAfter = Duration.zero,
    policies = hedging
  }: {
    readonly instances?: ReadonlyArray<Endpoint.Endpoint>
    readonly listedAfter?: Duration.Duration
    readonly policies?: Layer.Layer<never>
  } = {}
) =>
  run.pipe(
    Effect.provide(Layer.provideMerge(balanced(made.layer, instances, listedAfter), policies)),
    Effect.provideService(Metric.MetricRegistry, new Map())
  )

const after =
  (millis: number, answer: Answer = ok): Answer =>
  (port, request) =>
    Effect.delay(answer(port, request), millis)
const never: Answer = () => Effect.never
const failing: Answer = () => status(503)
const broken: Answer = (_, request) => reset(request)

/** Sends a request, and lets so much time go by. */
const sent = <A, E, R>(request: Effect.Effect<A, E, R>, ...pauses: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(request)
    for (const pause of [0, ...pauses]) yield* TestClock.adjust(pause)
    return fiber
  })

const counted = (name: string) =>
  Effect.map(Metric.snapshot, (all) => {
    let sum = 0
    for (const { id, state } of all) if (id === name && "count" in state) sum += Number(state.count)
    return sum
  })

const outcomes = Effect.map(Metric.snapshot, (all) =>
  all
    .flatMap(({ attributes, id, state }) =>
      id === "muster_requests" && "count" in state ? [`${attributes?.["outcome"]} ${state.count}`] : []
    )
    .toSorted()
)

const allHealthy = Effect.gen(function* () {
  const balancer = yield* Balancer.Balancer
  const all = yield* balancer.status(two[0].service)
  return all.every(({ health }) => health._tag === "Healthy")
})

describe("hedging", () => {
  it.effect("a request that takes its time is sent to another instance as well, and the first good answer wins", () => {
    const made = world(never, ok)
    return scenario(
      made,
      Effect.gen(function* () {
        const request = yield* sent(get, 49)
        assert.strictEqual(made.begun.length, 1)
        yield* TestClock.adjust(1)
        const response = yield* Fiber.join(request)
        assert.strictEqual(yield* response.text, "fine")
        assert.deepStrictEqual(new Set(made.begun), new Set([1, 2]))
        assert.deepStrictEqual(made.interrupted, made.begun.slice(0, 1))
        assert.strictEqual(yield* requestsInFlight, 0)
        assert.deepStrictEqual(yield* outcomes, ["interrupted 1", "succeeded 1"])
        assert.deepStrictEqual([yield* counted("muster_hedges"), yield* counted("muster_hedges_won")], [1, 1])
        assert.strictEqual(yield* counted("muster_retries"), 0)
      })
    )
  })

  it.effect("each attempt has a span that names its instance, and that of the second says that it is a hedge", () => {
    const made = world(never, ok)
    const { spans, tracer } = Tracing.make()
    return scenario(
      made,
      Effect.gen(function* () {
        yield* Fiber.join(yield* sent(get, 50))
        const attempts = spans.map(({ attributes }) => ({
          instance: attributes.get("muster.instance"),
          isHedge: attributes.get("muster.hedge") ?? false
        }))
        const named = made.begun.map((port) => (port === 1 ? "a" : "b"))
        assert.deepStrictEqual(attempts, [
          { instance: named[0], isHedge: false },
          { instance: named[1], isHedge: true }
        ])
      })
    ).pipe(Effect.withTracer(tracer))
  })

  it.effect("the first attempt may still win, and then it is the second that is given up", () => {
    const made = world(after(80), never)
    return scenario(
      made,
      Effect.gen(function* () {
        const response = yield* Fiber.join(yield* sent(get, 80))
        assert.strictEqual(yield* response.text, "fine")
        assert.deepStrictEqual(made.interrupted, made.begun.slice(1))
        assert.deepStrictEqual([yield* counted("muster_hedges"), yield* counted("muster_hedges_won")], [1, 0])
        assert.strictEqual(yield* requestsInFlight, 0)
      })
    )
  })

  for (const [what, request, policies] of [
    ["is not, by default", get, Layer.empty],
    ["that may not be executed twice is not", post, hedging],
    [
      "with a body that cannot be sent again is not",
      HttpClient.execute(
        HttpClientRequest.put("http://orders/x", {
          body: HttpBody.stream(Stream.make(new TextEncoder().encode("once")))
        })
      ),
      hedging
    ]
  ] as const) {
    it.effect(`a request ${what}`, () => {
      const made = world(after(1000), ok)
      return scenario(
        made,
        Effect.gen(function* () {
          const fiber = yield* sent(request, 999)
          assert.strictEqual(made.begun.length, 1)
          yield* TestClock.adjust(1)
          assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
        }),
        { policies }
      )
    })
  }

  it.effect("what answers in time is not hedged, and what fails in time is retried, not hedged", () => {
    const made = world(broken, ok)
    return scenario(
      made,
      Effect.gen(function* () {
        yield* Fiber.join(yield* sent(get))
        yield* Fiber.join(yield* sent(get))
        assert.strictEqual(made.begun.length, 3)
        assert.deepStrictEqual([yield* counted("muster_hedges"), yield* counted("muster_retries")], [0, 1])
      })
    )
  })

  it.effect("pays from the budget of the retries; without it the first attempt is waited for", () => {
    const made = world(after(100), after(1000))
    return scenario(
      made,
      Effect.gen(function* () {
        for (const n of times(5)) {
          made.again()
          const before = made.begun.length
          assert.strictEqual((yield* Fiber.join(yield* sent(get, 100))).status, 200)
          assert.strictEqual(made.begun.length - before, n < 2 ? 2 : 1)
        }
        assert.strictEqual(yield* counted("muster_hedges"), 2)
        assert.strictEqual(yield* counted("muster_retries_refused"), 3)
      }),
      {
        policies: Layer.merge(hedging, budget(0.3))
      }
    )
  })

  it.effect("with one instance there is nobody to hedge with", () => {
    const made = world(after(100), ok)
    return scenario(
      made,
      Effect.gen(function* () {
        assert.strictEqual((yield* Fiber.join(yield* sent(get, 100))).status, 200)
        assert.strictEqual(made.begun.length, 1)
        assert.strictEqual(yield* counted("muster_hedges"), 0)
      }),
      { instances: two.slice(0, 1) }
    )
  })

  for (const [what, second] of [
    ["answers that it is broken", failing],
    ["breaks off", broken]
  ] as const) {
    it.effect(`a hedge that ${what} does not spoil the first attempt`, () => {
      const made = world(after(100), second)
      return scenario(
        made,
        Effect.gen(function* () {
          const response = yield* Fiber.join(yield* sent(get, 100))
          assert.strictEqual(yield* response.text, "fine")
          yield* TestClock.adjust(0)
          assert.strictEqual(yield* requestsInFlight, 0)
          assert.strictEqual(yield* counted("muster_hedges_won"), 0)
        })
      )
    })
  }

  it.effect("if both end badly, a third instance is asked, and then nobody", () => {
    const made = world(after(100, failing), failing)
    return scenario(
      made,
      Effect.gen(function* () {
        assert.strictEqual(statusOf(yield* Fiber.join(yield* sent(get, 100))), 503)
        assert.deepStrictEqual([made.begun.length, new Set(made.begun).size], [3, 3])
        assert.deepStrictEqual([yield* counted("muster_hedges"), yield* counted("muster_retries")], [1, 1])
        yield* TestClock.adjust(0)
        assert.strictEqual(yield* requestsInFlight, 1, "the answer that was given back")
      }),
      { instances: [...three, instance("d", 4)] }
    )
  })

  it.effect("the time that a request waits for the first instance is no reason to hedge it", () => {
    const made = world(after(10), ok)
    return scenario(
      made,
      Effect.gen(function* () {
        const request = yield* sent(get, 60)
        assert.strictEqual(made.begun.length, 0)
        yield* TestClock.adjust(40)
        yield* TestClock.adjust(10)
        assert.strictEqual((yield* Fiber.join(request)).status, 200)
        assert.strictEqual(made.begun.length, 1)
      }),
      { listedAfter: Duration.millis(100) }
    )
  })

  it.effect("F-c1: a caller that gives up leaves neither attempt in flight, and neither has failed", () => {
    const made = world(never, never)
    return scenario(
      made,
      Effect.gen(function* () {
        const request = yield* sent(get, 60)
        assert.strictEqual(yield* requestsInFlight, 2)
        yield* Fiber.interrupt(request)
        assert.strictEqual(yield* requestsInFlight, 0)
        assert.deepStrictEqual(yield* outcomes, ["interrupted 1", "interrupted 1"])
      })
    )
  })

  it.effect("F-c1: a caller that gives up does not leave the bad answer in flight that was to be bettered", () => {
    const made = world(after(60, failing), never)
    return scenario(
      made,
      Effect.gen(function* () {
        const request = yield* sent(get, 50, 10)
        assert.strictEqual(yield* requestsInFlight, 2)
        yield* Fiber.interrupt(request)
        yield* TestClock.adjust(0)
        assert.strictEqual(yield* requestsInFlight, 0)
      })
    )
  })

  it.effect(
    "F-c1: a caller that gives up while the loser is on its way out leaves the good answer in flight no more",
    () => {
      const made = world(
        () => Effect.onInterrupt(Effect.never, () => Effect.sleep(20)),
        () => ok()
      )
      return scenario(
        made,
        Effect.gen(function* () {
          const request = yield* sent(get, 50)
          assert.strictEqual(yield* requestsInFlight, 2)
          yield* Effect.forkChild(Fiber.interrupt(request))
          yield* TestClock.adjust(20)
          assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(request)))
          assert.strictEqual(yield* requestsInFlight, 0)
        })
      )
    }
  )

  it.effect("losing is no failure: an instance that always loses is used less, but never taken out", () => {
    const { asked, layer } = scripted((port) => (port === 1 ? Effect.delay(ok(), 500) : ok()))
    const made = { ...world(never, never), asked, layer }
    return scenario(
      made,
      Effect.gen(function* () {
        for (const _ of times(200)) yield* Fiber.join(yield* sent(get, 50))
        assert.isTrue(yield* allHealthy)
        assert.isAbove(yield* counted("muster_hedges_won"), 2)
        assert.isTrue((yield* outcomes).every((line) => !line.startsWith("failed")))
      }),
      { instances: three }
    ).pipe(Random.withSeed("losing"))
  })

  it.effect("the observed percentile: about one request in twenty is hedged, and only once enough are known", () => {
    const { asked, layer } = scripted(() =>
      Effect.flatMap(Random.next, (x) => Effect.delay(ok(), Math.ceil(10 * ((1 - x) / x) ** -0.5)))
    )
    const made = { ...world(never, never), asked, layer }
    return scenario(
      made,
      Effect.gen(function* () {
        const ask = Effect.gen(function* () {
          const request = yield* Effect.forkChild(get)
          while (request.pollUnsafe() === undefined) yield* TestClock.adjust(1)
          assert.isTrue(Exit.isSuccess(yield* Fiber.await(request)))
        })
        for (const _ of times(20)) yield* ask
        assert.strictEqual(yield* counted("muster_hedges"), 0)
        for (const _ of times(500)) yield* ask
        assert.isAbove(yield* counted("muster_hedges"), 5)
        assert.isBelow(yield* counted("muster_hedges"), 75)
      }),
      { policies: Layer.succeed(Policy.Hedge, { percentile: 0.95 }), instances: three }
    ).pipe(Random.withSeed("hedging"))
  })
})
