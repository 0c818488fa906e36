import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Fiber, Layer, Metric } from "effect"
import {
  HttpClient,
  HttpClientRequest,
  HttpRouter,
  HttpServer,
  HttpServerRequest,
  HttpServerResponse
} from "effect/http"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { TestClock } from "effect/testing"
import { Policy } from "@muster/core"
import { Deadline, ServerDeadline } from "@muster/runtime"
import { createServer } from "node:http"
import { balanced, instance, requestsInFlight } from "./fixtures/staticService.ts"
import { balancerError, get, ok, refused, reset, scenario, times } from "./fixtures/scriptedClient.ts"

const outcomes = Effect.map(Metric.snapshot, (all) =>
  all.flatMap(({ attributes, id }) => (id === "muster_requests" ? [attributes?.["outcome"]] : []))
)

describe("Deadline", () => {
  it.effect("gives an effect so much time, and tells everybody on the way what is left of it", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* Deadline.remaining)
      const left = yield* Effect.forkChild(Deadline.within("3 seconds")(Effect.delay(Deadline.remaining, "1 seconds")))
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(yield* Fiber.join(left), Duration.seconds(2))
      const late = yield* Effect.forkChild(Effect.flip(Deadline.within("3 seconds")(Effect.never)))
      yield* TestClock.adjust("3 seconds")
      assert.isTrue(Cause.isTimeoutError(yield* Fiber.join(late)))
    })
  )

  it.effect("less than a millisecond is no time, because no timer is finer", () =>
    Effect.gen(function* () {
      const nearly = Effect.delay(Deadline.remaining, Duration.micros(2100n))
      const left = yield* Effect.forkChild(Deadline.within("3 millis")(nearly))
      yield* TestClock.adjust(Duration.micros(2100n))
      assert.deepStrictEqual(yield* Fiber.join(left), Duration.zero)
    })
  )

  it.effect("one inside another never gets more than is left", () =>
    Effect.gen(function* () {
      const nested = Effect.delay(Deadline.within("1 minutes")(Deadline.remaining), "4 seconds")
      const left = yield* Effect.forkChild(Deadline.within("5 seconds")(nested))
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(yield* Fiber.join(left), Duration.seconds(1))
      const shorter = Deadline.within("5 seconds")(Deadline.within("1 seconds")(Deadline.remaining))
      assert.deepStrictEqual(yield* shorter, Duration.seconds(1))
      assert.isUndefined(yield* Deadline.within(Duration.infinity)(Deadline.remaining))
    })
  )

  it("is written and read as gRPC does", () => {
    for (const [time, text] of [
      ["1500 millis", "1500m"],
      ["1500 micros", "2m"],
      ["0 millis", "0m"],
      ["27 hours", "97200000m"],
      ["28 hours", "100800S"],
      ["10000000 days", "99999999S"]
    ] as const) {
      assert.strictEqual(Deadline.toHeader(Duration.fromInputUnsafe(time)), text)
    }
    for (const [text, time] of [
      ["2H", "2 hours"],
      ["3M", "3 minutes"],
      ["4S", "4 seconds"],
      ["5m", "5 millis"],
      ["6000u", "6 millis"],
      ["7000000n", "7 millis"]
    ] as const) {
      const read = Deadline.fromHeader(text)
      assert.closeTo(read === undefined ? NaN : Duration.toMillis(read), Duration.toMillis(time), 1e-9)
    }
    for (const text of [undefined, "", "5", "m", "-1m", "1.5S", "123456789m", "5 m", "5s", "5m,6m"]) {
      assert.isUndefined(Deadline.fromHeader(text))
    }
  })
})

describe("a deadline on its way", () => {
  it.effect("a request says how much time is left: what the attempt may take, or the caller has, if that is less", () =>
    scenario(ok, (asked) =>
      Effect.gen(function* () {
        yield* get
        yield* Deadline.within("1 minutes")(get)
        yield* Deadline.within("300 millis")(get)
        yield* HttpClient.get("http://orders/x", { headers: { "grpc-timeout": "7m" } })
        yield* get.pipe(Effect.provideService(Policy.Attempt, { deadline: Duration.seconds(5), attempts: 3 }))
        assert.deepStrictEqual(
          asked.map(({ timeout }) => timeout),
          ["2000m", "2000m", "300m", "7m", "5000m"]
        )
      })
    )
  )

  it.effect("a retry has what the first attempt left", () =>
    scenario(
      (port, request) => (port === 1 ? Effect.delay(reset(request), "200 millis") : ok()),
      (asked) =>
        Effect.gen(function* () {
          yield* Effect.forEach(times(20), () =>
            Effect.gen(function* () {
              const request = yield* Effect.forkChild(Deadline.within("500 millis")(get))
              yield* TestClock.adjust("200 millis")
              yield* Fiber.join(request)
            })
          )
          const first = asked.findIndex(({ url }) => url.includes(":1/"))
          assert.deepStrictEqual([asked[first]?.timeout, asked[first + 1]?.timeout], ["500m", "300m"])
        })
    )
  )

  it.effect("a caller without time left gets its timeout, the instance no blame, and nobody else the request", () =>
    scenario(
      () => Effect.never,
      (asked) =>
        Effect.gen(function* () {
          const request = yield* Effect.forkChild(Effect.flip(Deadline.within("300 millis")(get)))
          yield* TestClock.adjust("300 millis")
          yield* Fiber.join(request)
          assert.strictEqual(asked.length, 1)
          assert.strictEqual(yield* requestsInFlight, 0)
          assert.deepStrictEqual(yield* outcomes, ["interrupted"])
          const late = yield* Effect.flip(get.pipe(Effect.provideService(Deadline.Due, 0n)))
          assert.strictEqual(balancerError(late).reason._tag, "DeadlineExceeded")
          assert.include(late.message, "no instance was asked: the deadline of the caller is over")
          assert.strictEqual(asked.length, 1)
        })
    ).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("an attempt that ends with the caller's time says so, and is no failure of the instance", () =>
    scenario(
      () => Effect.never,
      () =>
        Effect.gen(function* () {
          // The caller's own timeout is a little late, as it may be in a busy process.
          const request = yield* Effect.forkChild(
            Effect.flip(get).pipe(Effect.provideService(Deadline.Due, 300_000_000n))
          )
          yield* TestClock.adjust("300 millis")
          const error = yield* Fiber.join(request)
          assert.strictEqual(balancerError(error).reason._tag, "DeadlineExceeded")
          assert.include(
            error.message,
            "did not answer within 300ms, which is all that the deadline of the caller left"
          )
          assert.deepStrictEqual(yield* outcomes, ["interrupted"])
        })
    ).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("nobody waits for an instance longer than the caller has time", () =>
    scenario(
      ok,
      () =>
        Effect.gen(function* () {
          const request = yield* Effect.forkChild(
            Effect.flip(get).pipe(Effect.provideService(Deadline.Due, 300_000_000n))
          )
          yield* TestClock.adjust("300 millis")
          const { message, reason } = balancerError(yield* Fiber.join(request))
          assert.strictEqual(reason._tag, "DeadlineExceeded")
          assert.match(message, /deadline of the caller is over, and the registry lists no instance within 300ms/)
        }),
      []
    )
  )

  it.effect("refusals are retried within the time of the caller only", () =>
    scenario(
      (_, request) => Effect.delay(refused(request), "100 millis"),
      (asked) =>
        Effect.gen(function* () {
          const request = yield* Effect.forkChild(
            Effect.flip(get).pipe(Effect.provideService(Deadline.Due, 150_000_000n))
          )
          yield* TestClock.adjust("150 millis")
          const error = yield* Fiber.join(request)
          assert.strictEqual(balancerError(error).reason._tag, "DeadlineExceeded")
          assert.strictEqual(asked.length, 2)
        }),
      [instance("a", 1), instance("b", 2), instance("c", 3)]
    )
  )
})

/** What the slow route was still allowed when it began, and whether it was interrupted. */
const server = () => {
  const seen = { left: undefined as Duration.Duration | undefined, interrupted: 0 }
  const slow = Effect.gen(function* () {
    seen.left = yield* Deadline.remaining
    return yield* Effect.never
  }).pipe(Effect.onInterrupt(() => Effect.sync(() => seen.interrupted++)))
  const late = Effect.as(Deadline.within("1 millis")(Effect.never), HttpServerResponse.text("never"))
  /** Says something over the connection that it was handed, after longer than any caller waits for an answer. */
  const upgraded = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const socket = yield* Effect.orDie(request.upgrade)
    yield* socket.reader
    const writer = yield* socket.writer
    yield* Effect.sleep("100 millis")
    yield* writer.write("still here")
    return HttpServerResponse.empty()
  }).pipe(Effect.scoped, Effect.orDie)
  const routes = Layer.mergeAll(
    HttpRouter.add("GET", "/fast", HttpServerResponse.text("fast")),
    HttpRouter.add("GET", "/slow", slow),
    HttpRouter.add("GET", "/late", Effect.orDie(late)),
    HttpRouter.add("GET", "/upgraded", upgraded),
    HttpRouter.middleware(ServerDeadline.bounded, { global: true })
  )
  const layer = HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
    Layer.provideMerge(NodeHttpClient.layerUndici)
  )
  return { seen, layer }
}

const ask = (path: string, timeout?: string, headers: Record<string, string> = {}) =>
  Effect.gen(function* () {
    const address = HttpServer.formatAddress((yield* HttpServer.HttpServer).address)
    const response = yield* HttpClient.get(`${address}${path}`, {
      headers: timeout === undefined ? headers : { ...headers, "grpc-timeout": timeout }
    })
    return response.status
  })

describe("ServerDeadline", () => {
  it.live("a handler is interrupted when its caller has no more time, and the answer is 504", () => {
    const { layer, seen } = server()
    return Effect.gen(function* () {
      assert.strictEqual(yield* ask("/slow", "50m"), 504)
      assert.strictEqual(seen.interrupted, 1)
      const left = seen.left === undefined ? NaN : Duration.toMillis(seen.left)
      assert.isTrue(left > 0 && left <= 50)
    }).pipe(Effect.provide(layer))
  })

  it.live("a handler that is in time answers as ever, with and without a deadline that can be read", () => {
    const { layer } = server()
    return Effect.gen(function* () {
      for (const timeout of [undefined, "5S", "soon"]) assert.strictEqual(yield* ask("/fast", timeout), 200)
    }).pipe(Effect.provide(layer))
  })

  it.live("a deadline that the handler set itself is its own failure", () => {
    const { layer } = server()
    return Effect.gen(function* () {
      assert.strictEqual(yield* ask("/late", "5S"), 500)
    }).pipe(Effect.provide(layer))
  })

  it.live("a handler is bounded although its caller would rather speak HTTP/2", () => {
    const { layer } = server()
    return Effect.gen(function* () {
      assert.strictEqual(yield* ask("/slow", "50m", { upgrade: "h2c" }), 504)
    }).pipe(Effect.provide(layer))
  })

  it.live("a connection that was upgraded is not bounded: its handler lives as long as it does", () => {
    const { layer } = server()
    return Effect.gen(function* () {
      const { port } = yield* Effect.map(
        HttpServer.HttpServer,
        ({ address }) => new URL(HttpServer.formatAddress(address))
      )
      yield* Effect.gen(function* () {
        const request = HttpClientRequest.get("http://orders/upgraded", { headers: { "grpc-timeout": "50m" } })
        const response = yield* HttpClient.execute(HttpClientRequest.upgrade(request, "tcp"))
        const { pull } = yield* Effect.flatMap(response.upgrade, ({ reader }) => reader)
        assert.strictEqual(new TextDecoder().decode(Buffer.from((yield* pull)[0])), "still here")
      }).pipe(
        Effect.provideService(Policy.Attempt, { deadline: Duration.minutes(1), attempts: 1 }),
        Effect.provide(balanced(NodeHttpClient.layerUndici, [instance("a", Number(port))]))
      )
    }).pipe(Effect.provide(layer))
  })
})
