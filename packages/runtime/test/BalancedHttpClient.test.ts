import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Layer, Ref, Stream } from "effect"
import {
  type Cookies,
  HttpBody,
  HttpClient,
  HttpClientError,
  HttpClientRequest,
  type HttpClientResponse
} from "effect/http"
import { TestClock } from "effect/testing"
import { Policy } from "@muster/core"
import { BalancedHttpClient } from "@muster/runtime"
import {
  balancerError,
  broken,
  firstOnly,
  get,
  ok,
  post,
  refused,
  reset,
  scenario,
  scripted,
  status,
  statusOf,
  times
} from "./fixtures/scriptedClient.ts"
import { balanced, instance, requestsInFlight } from "./fixtures/staticService.ts"
import * as Tracing from "./fixtures/tracing.ts"

/** What Node says when each address of a name refuses: the sum has the code of the first, and no address. */
const refusedAt = (port: number) => (request: HttpClientRequest.HttpClientRequest) => {
  const errors = ["127.0.0.1", "::1"].map((address) =>
    Object.assign(new Error("refused"), { code: "ECONNREFUSED", address, port })
  )
  const cause = Object.assign(new AggregateError(errors), { code: "ECONNREFUSED" })
  return Effect.fail(new HttpClientError.TransportError({ request, cause }))
}

/** Sends until the first instance was asked once more, and gives that answer. */
const untilFirst = <A, E, R>(asked: ReadonlyArray<{ readonly url: string }>, send: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    for (let n = 0; n < 100; n++) {
      const before = asked.length
      const result = yield* Effect.result(send)
      if (asked.slice(before).some(({ url }) => url.includes(":1/"))) return { result, asked: asked.slice(before) }
    }
    return yield* Effect.die("the first instance was never asked")
  })

const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

describe("BalancedHttpClient", () => {
  it.effect("sends what goes to a service to its instances, and says whose request it is", () =>
    scenario(ok, (asked) =>
      Effect.gen(function* () {
        yield* Effect.forEach(times(50), () =>
          HttpClient.get("https://orders/a/b?x=1", { urlParams: { y: "2" }, hash: "h" })
        )
        assert.deepStrictEqual(
          new Set(asked.map(({ url }) => url)),
          new Set(["https://127.0.0.1:1/a/b?x=1&y=2#h", "https://127.0.0.1:2/a/b?x=1&y=2#h"])
        )
        assert.deepStrictEqual(new Set(asked.map(({ host }) => host)), new Set(["orders"]))
      })
    )
  )

  it.effect("knows a service by its host, and passes everything else through untouched", () =>
    scenario(ok, (asked) =>
      Effect.gen(function* () {
        const through = [
          "http://orders:8080/x",
          "http://localhost/x",
          "http://127.0.0.1/x",
          "http://[::1]/x",
          "http://orders.example.com/x",
          "http://user@orders/x",
          "http://2130706433/x"
        ]
        yield* Effect.forEach(through, (url) => HttpClient.get(url))
        assert.isTrue(asked.every(({ host, url }) => host === undefined && !/:[12]\//.test(url)))
        asked.length = 0
        yield* Effect.forEach(["http://orders", "HTTP://Orders/", "http://orders?x", "http://orders#x"], (url) =>
          HttpClient.get(url)
        )
        assert.isTrue(asked.every(({ host, url }) => host === "orders" && /^http:\/\/127\.0\.0\.1:[12]\//i.test(url)))
      })
    )
  )

  it.effect("takes the hosts for services that it is told to", () =>
    scenario(
      ok,
      (asked) =>
        Effect.gen(function* () {
          yield* HttpClient.get("http://orders.shop/x")
          yield* HttpClient.get("http://orders/x")
          assert.deepStrictEqual(
            asked.map(({ url }) => url),
            ["http://127.0.0.1:1/x", "http://orders/x"]
          )
        }).pipe(Effect.provideService(BalancedHttpClient.Services, (host) => host.endsWith(".shop"))),
      [instance("a", 1, "orders.shop")]
    )
  )

  it.effect("minds what its layer was given, unless something else is provided around the request", () => {
    const { asked, layer } = scripted((port) => (port === 1 ? Effect.never : status(503)))
    const given = Layer.mergeAll(
      Layer.succeed(BalancedHttpClient.Services, (host) => host.endsWith(".shop")),
      Layer.succeed(Policy.Attempt, { deadline: Duration.millis(50), attempts: 1 })
    )
    const client = Layer.provide(balanced(layer, [instance("a", 1, "a.shop"), instance("b", 2, "b.shop")]), given)
    return Effect.gen(function* () {
      const hanging = yield* Effect.forkChild(Effect.flip(HttpClient.get("http://a.shop/x")))
      yield* TestClock.adjust("50 millis")
      const error = balancerError(yield* Fiber.join(hanging))
      assert.match(error.message, /a \(127\.0\.0\.1:1\) did not answer within 50ms/)
      yield* HttpClient.get("http://b.shop/x")
      const otherwise = HttpClient.get("http://b.shop/x").pipe(
        Effect.provideService(BalancedHttpClient.Services, () => false)
      )
      yield* otherwise
      assert.deepStrictEqual(
        asked.map(({ url }) => url),
        ["http://127.0.0.1:1/x", "http://127.0.0.1:2/x", "http://b.shop/x"]
      )
    }).pipe(Effect.provide(client))
  })

  it.effect("its answers are those of the service: redirects lead to it, and its cookies are kept for it", () =>
    scenario(
      (_, request) => {
        const path = new URL(request.url).pathname
        if (path === "/login") return status(204, { "set-cookie": "session=1; Path=/" })
        if (path === "/x") return status(302, { location: "/y" })
        if (path === "/y") return status(307, { location: "http://orders/z" })
        return Effect.succeed(new Response(request.headers["cookie"]))
      },
      (asked) =>
        Effect.gen(function* () {
          const jar = yield* Ref.make<ReadonlyArray<Cookies.Cookie>>([])
          const client = (yield* HttpClient.HttpClient).pipe(
            HttpClient.withCookiesRef(jar),
            HttpClient.followRedirects()
          )
          yield* client.get("http://orders/login")
          const answer = yield* client.get("http://orders/x", { headers: { authorization: "mine" } })
          assert.strictEqual(yield* answer.text, "session=1")
          assert.deepStrictEqual([answer.request.url, answer.url], ["http://orders/z", "http://orders/z"])
          assert.deepStrictEqual(
            asked.map(({ host, url }) => [host, new URL(url).pathname]),
            ["/login", "/x", "/y", "/z"].map((path) => ["orders", path])
          )
          assert.isTrue(asked.slice(1).every(({ authorization }) => authorization === "mine"))
          assert.strictEqual(yield* requestsInFlight, 0)
        })
    )
  )

  it.effect("F-s3: does not send a request again that was refused elsewhere, where a redirect led to", () =>
    scenario(firstOnly(refusedAt(9)), (asked) =>
      Effect.gen(function* () {
        for (const _ of times(20)) yield* Effect.exit(post)
        assert.strictEqual(asked.length, 20)
        assert.isAbove(asked.filter(({ url }) => url.includes(":1/")).length, 1)
      })
    )
  )

  it.effect.each([
    { what: "whose connection lost its way after it was sent", code: "EHOSTUNREACH", details: { syscall: "read" } },
    {
      what: "that a redirect led to somebody who cannot be reached",
      code: "UND_ERR_CONNECT_TIMEOUT",
      details: { message: "Connect Timeout Error (attempted address: elsewhere:9, timeout: 10000ms)" }
    }
  ])("F-s3: does not send a request again $what", ({ code, details }) =>
    scenario(firstOnly(broken(code, details)), (asked) =>
      Effect.gen(function* () {
        for (const _ of times(20)) yield* Effect.exit(post)
        assert.strictEqual(asked.length, 20)
        assert.isAbove(asked.filter(({ url }) => url.includes(":1/")).length, 1)
      })
    )
  )

  it.effect.each([
    { what: "that cannot be reached", code: "EHOSTUNREACH", details: { syscall: "connect" } },
    {
      what: "that nobody accepts in time",
      code: "UND_ERR_CONNECT_TIMEOUT",
      details: { message: "Connect Timeout Error (attempted address: 127.0.0.1:1, timeout: 10000ms)" }
    }
  ])("F-s3: sends a request elsewhere $what", ({ code, details }) =>
    scenario(firstOnly(broken(code, details)), (asked) =>
      Effect.map(untilFirst(asked, post), (first) => {
        assert.strictEqual(first.result._tag, "Success")
        assert.strictEqual(first.asked.length, 2)
      })
    )
  )

  it.effect("F-s3: sends a refused request elsewhere, whatever it is, and takes the instance out", () =>
    scenario(firstOnly(refused), (asked) =>
      Effect.gen(function* () {
        const first = yield* untilFirst(asked, post)
        assert.strictEqual(first.result._tag, "Success")
        assert.strictEqual(first.asked.length, 2)
        asked.length = 0
        yield* Effect.forEach(times(20), () => post)
        assert.isTrue(asked.every(({ url }) => url.includes(":2/")))
      })
    )
  )

  it.effect("F-s3: sends a request that broke off elsewhere only if it may be executed twice", () =>
    scenario(firstOnly(reset), (asked) =>
      Effect.gen(function* () {
        const read = yield* untilFirst(asked, get)
        assert.strictEqual(read.result._tag, "Success")
        yield* TestClock.adjust("60 seconds")
        const write = yield* untilFirst(asked, post)
        assert.strictEqual(write.result._tag, "Failure")
        assert.strictEqual(write.asked.length, 1)
      })
    )
  )

  it.effect("F-s9: asks no more instances than attempts are allowed, however many there are", () =>
    scenario(
      (_, request) => reset(request),
      (asked) =>
        Effect.gen(function* () {
          yield* Effect.flip(get)
          assert.strictEqual(new Set(asked.map(({ url }) => url)).size, 3)
          assert.strictEqual(asked.length, 3)
          asked.length = 0
          const limits = { ...(yield* Policy.Attempt), attempts: 1 }
          yield* Effect.flip(Effect.provideService(get, Policy.Attempt, limits))
          assert.strictEqual(asked.length, 1)
        }),
      times(6).map((n) => instance(`i-${n}`, n + 1))
    )
  )

  for (const [what, request] of [
    ["marked idempotent", BalancedHttpClient.idempotent(post)],
    ["with an Idempotency-Key", HttpClient.post("http://orders/x", { headers: { "Idempotency-Key": "1" } })],
    ["with an idempotent method", HttpClient.put("http://orders/x", { body: HttpBody.text("order") })]
  ] as const) {
    it.effect(`sends a request ${what} elsewhere after 503`, () =>
      scenario(
        firstOnly(() => status(503)),
        (asked) =>
          Effect.gen(function* () {
            const { asked: sent, result } = yield* untilFirst(asked, Effect.map(request, statusOf))
            assert.strictEqual(result._tag === "Success" ? result.success : 0, 200)
            assert.strictEqual(sent.length, 2)
          })
      )
    )
  }

  it.effect("gives the answer of an instance back where it may not or need not be tried elsewhere", () =>
    scenario(
      firstOnly(({ headers }) => status(Number(headers["wanted"] ?? 503))),
      (asked) =>
        Effect.gen(function* () {
          const stream = HttpBody.stream(Stream.make(new TextEncoder().encode("once")))
          for (const request of [
            HttpClientRequest.post("http://orders/x"),
            HttpClientRequest.put("http://orders/x", { body: stream }),
            HttpClientRequest.get("http://orders/x", { headers: { wanted: "500" } }),
            HttpClientRequest.get("http://orders/x", { headers: { wanted: "404" } }),
            HttpClientRequest.get("http://orders/x", { headers: { wanted: "429" } })
          ]) {
            yield* TestClock.adjust("60 seconds")
            const { asked: sent, result } = yield* untilFirst(asked, Effect.map(HttpClient.execute(request), statusOf))
            assert.strictEqual(sent.length, 1)
            assert.strictEqual(result._tag === "Success" ? result.success : 0, Number(request.headers["wanted"] ?? 503))
          }
        })
    )
  )

  it.effect("a stream that was not sent is sent elsewhere", () =>
    scenario(firstOnly(refused), (asked) =>
      Effect.gen(function* () {
        const stream = HttpBody.stream(Stream.make(new TextEncoder().encode("once")))
        const { result } = yield* untilFirst(asked, HttpClient.post("http://orders/x", { body: stream }))
        assert.strictEqual(result._tag, "Success")
      })
    )
  )

  it.effect("gives the last answer back when all have failed, and asks nobody twice", () =>
    scenario(
      () => status(503),
      (asked) =>
        Effect.gen(function* () {
          assert.strictEqual((yield* get).status, 503)
          assert.strictEqual(new Set(asked.map(({ url }) => url)).size, 2)
          assert.strictEqual(asked.length, 2)
        })
    )
  )

  it.effect("F-s11: with one instance that refuses it fails at once, with the error of the connection", () =>
    scenario(
      (_, request) => refused(request),
      (asked) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(get)
          assert.strictEqual(error.reason._tag, "TransportError")
          assert.include(String(error.cause), "ECONNREFUSED")
          assert.strictEqual(asked.length, 1)
        }),
      [instance("a", 1)]
    )
  )

  it.effect("F-s12: an unknown service is a typed failure inside the client's own error", () =>
    scenario(ok, () =>
      Effect.gen(function* () {
        const request = yield* Effect.forkChild(Effect.flip(HttpClient.get("http://nobody/x")))
        yield* TestClock.adjust("1 seconds")
        const error = yield* Fiber.join(request)
        assert.include(error.message, "nobody: the registry lists no instance")
        assert.strictEqual(balancerError(error).reason._tag, "NoInstance")
      })
    )
  )

  it.effect(
    "F-s4: a hanging instance costs one deadline, and then the request is answered elsewhere if it may be",
    () =>
      scenario(
        firstOnly(() => Effect.never),
        (asked) =>
          Effect.gen(function* () {
            const read = yield* Effect.forkChild(untilFirst(asked, get))
            yield* TestClock.adjust("2 seconds")
            assert.strictEqual((yield* Fiber.join(read)).result._tag, "Success")
            yield* TestClock.adjust("10 minutes")
            const write = yield* Effect.forkChild(untilFirst(asked, post))
            yield* TestClock.adjust("2 seconds")
            const { result } = yield* Fiber.join(write)
            if (result._tag === "Success") return assert.fail("answered")
            assert.strictEqual(balancerError(result.failure).reason._tag, "DeadlineExceeded")
            assert.include(result.failure.message, "orders: a (127.0.0.1:1) did not answer within 2s")
          })
      )
  )

  it.effect("F-s9: honours Retry-After in seconds and as a date, and returns afterwards", () =>
    Effect.forEach([() => "5", (now: number) => new Date(now + 5000).toUTCString()], (retryAfter) =>
      scenario(
        firstOnly(() =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => status(503, { "retry-after": retryAfter(now) }))
        ),
        (asked) =>
          Effect.gen(function* () {
            yield* untilFirst(asked, get)
            asked.length = 0
            yield* TestClock.adjust("4 seconds")
            yield* Effect.forEach(times(50), () => get)
            assert.isTrue(asked.every(({ url }) => url.includes(":2/")))
            yield* TestClock.adjust("10 seconds")
            yield* untilFirst(asked, get)
          })
      )
    )
  )

  it.effect("F-s9: does not retry beyond the budget: the answer comes back as it is", () => {
    const { asked, layer } = scripted(() => status(503))
    return Effect.gen(function* () {
      for (const _ of times(50)) assert.strictEqual((yield* get).status, 503)
      assert.isAtMost(asked.length, 50 + 10)
    }).pipe(
      Effect.provide(
        balanced(layer, [instance("a", 1), instance("b", 2)]).pipe(
          Layer.provide(Layer.succeed(Policy.RetryBudget, { ratio: 0, perSecond: 1, window: Duration.seconds(10) }))
        )
      )
    )
  })

  it.effect("a request stays in flight until its body has been read", () =>
    scenario(
      () => Effect.succeed(new Response("body")),
      () =>
        Effect.gen(function* () {
          for (const read of [
            ({ text }: HttpClientResponse.HttpClientResponse) => text,
            ({ arrayBuffer }: HttpClientResponse.HttpClientResponse) => arrayBuffer,
            ({ json }: HttpClientResponse.HttpClientResponse) => Effect.exit(json),
            ({ stream }: HttpClientResponse.HttpClientResponse) => Stream.runDrain(stream),
            ({ stream }: HttpClientResponse.HttpClientResponse) => Stream.runHead(stream)
          ]) {
            const response = yield* get
            assert.strictEqual(yield* requestsInFlight, 1)
            yield* read(response)
            assert.strictEqual(yield* requestsInFlight, 0)
          }
        })
    )
  )

  it.effect("F-c1: a body that is given up half-way leaves nothing in flight", () =>
    scenario(
      () => Effect.succeed(new Response(new ReadableStream({ pull: () => new Promise(() => undefined) }))),
      () =>
        Effect.gen(function* () {
          const response = yield* get
          const reading = yield* Effect.forkChild(response.text)
          yield* Effect.yieldNow
          assert.strictEqual(yield* requestsInFlight, 1)
          yield* Fiber.interrupt(reading)
          assert.strictEqual(yield* requestsInFlight, 0)
        })
    )
  )

  it.effect.each([
    { how: "fails", second: reset },
    { how: "is given up", second: () => Effect.never }
  ])("F-c1: an answer that was to be bettered is not in flight any more when the other attempt $how", ({ second }) =>
    scenario(
      (port, request) => (port === 1 ? status(503) : second(request)),
      (asked) =>
        Effect.gen(function* () {
          let first = ""
          while (!first.includes(":1/")) {
            const before = asked.length
            const request = yield* Effect.forkChild(Effect.exit(Effect.flatMap(get, ({ text }) => text)))
            yield* Effect.repeat(Effect.yieldNow, { times: 20 })
            yield* Fiber.interrupt(request)
            first = asked[before]?.url ?? ""
          }
          // What nobody wants is read to its end, some turns of the event loop later.
          for (let turns = 0; turns < 1000 && (yield* requestsInFlight) > 0; turns++) yield* turn
          assert.strictEqual(yield* requestsInFlight, 0)
        })
    )
  )

  it.effect(
    "F-c1: an answer without an end that was bettered is not read for ever, however long answers may take",
    () =>
      scenario(
        firstOnly(() => Effect.succeed(new Response(new ReadableStream(), { status: 503 }))),
        (asked) =>
          Effect.gen(function* () {
            yield* untilFirst(
              asked,
              Effect.flatMap(get, ({ text }) => text)
            )
            assert.strictEqual(yield* requestsInFlight, 1)
            yield* TestClock.adjust("2 seconds")
            assert.strictEqual(yield* requestsInFlight, 0)
          }).pipe(Effect.provideService(Policy.Attempt, { deadline: Duration.infinity, attempts: 3 }))
      )
  )

  it.effect("an answer without a body is over at once", () =>
    scenario(
      (_, { method }) => Effect.succeed(method === "HEAD" ? new Response("x") : new Response(null, { status: 204 })),
      () =>
        Effect.gen(function* () {
          yield* HttpClient.head("http://orders/x")
          yield* get
          assert.strictEqual(yield* requestsInFlight, 0)
        })
    )
  )

  it.effect("the span of each attempt names the service and the instance", () => {
    const { spans, tracer } = Tracing.make()
    return scenario(
      firstOnly(() => status(503)),
      (asked) =>
        Effect.gen(function* () {
          yield* untilFirst(asked, get)
          const named = spans.map(({ attributes }) => [
            attributes.get("muster.service"),
            attributes.get("muster.instance")
          ])
          assert.deepStrictEqual(named.slice(-2), [
            ["orders", "a"],
            ["orders", "b"]
          ])
        })
    ).pipe(Effect.withTracer(tracer))
  })

  it.effect("names the trace that it is part of, and begins none where no tracer would see it", () => {
    const { spans, tracer } = Tracing.make()
    return scenario(ok, (asked) =>
      Effect.gen(function* () {
        yield* get
        const span = yield* Effect.withSpan(Effect.andThen(get, Effect.currentSpan), "around")
        yield* Effect.withTracer(get, tracer)
        const [alone, within, traced] = asked.map(({ trace }) => trace?.split("-")[1])
        assert.strictEqual(alone, undefined)
        assert.strictEqual(within, span.traceId)
        assert.strictEqual(traced, spans.at(-1)?.traceId)
        assert.isDefined(traced)
      })
    )
  })

  it.effect("is in the trace of a tracer that only the client below has", () => {
    const { spans, tracer } = Tracing.make()
    const { asked, layer } = scripted(ok)
    const below = Layer.effect(
      HttpClient.HttpClient,
      Effect.map(HttpClient.HttpClient, HttpClient.transformResponse(Effect.withTracer(tracer)))
    ).pipe(Layer.provide(layer))
    return Effect.gen(function* () {
      yield* get
      assert.strictEqual(spans.length, 1)
      assert.strictEqual(asked[0]?.trace?.split("-")[1], spans[0]?.traceId)
    }).pipe(Effect.provide(balanced(below, [instance("a", 1)])))
  })
})
