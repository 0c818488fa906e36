/**
 * The balanced client against real servers on loopback: what only sockets do.
 */
import * as Http from "node:http"
import { Readable } from "node:stream"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { NodeHttpClient, NodeHttpServer, NodeStream } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Metric, Schema, type Scope, Stream } from "effect"
import { HttpApi, HttpApiBuilder, HttpApiClient, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { FetchHttpClient, HttpBody, HttpClient, HttpRouter, HttpServer } from "effect/http"
import { Rpc, RpcClient, RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"
import { Pick, Policy } from "@muster/core"
import { Balancer } from "@muster/runtime"
import * as RawServer from "./fixtures/rawServer.ts"
import { balanced, instance, requestsInFlight } from "./fixtures/staticService.ts"

type Handle = Parameters<typeof RawServer.make>[0]

const fine: Handle = (_, response) => response.end("fine")
const resets: Handle = (request) => request.socket.resetAndDestroy()

/** Sends half of an answer. */
const breaks: Handle = (request, response) => {
  response.write("half", () => setImmediate(() => request.socket.resetAndDestroy()))
}

/** A machine that stands still for a moment is no fault of a server. */
const patiently = Effect.provideService(Policy.Attempt, { deadline: Duration.minutes(1), attempts: 3 })

/** One server for each handler, and a client that balances over them. */
const over = <A, E>(
  handlers: ReadonlyArray<Handle>,
  run: (
    servers: ReadonlyArray<RawServer.RawServer>
  ) => Effect.Effect<A, E, HttpClient.HttpClient | Balancer.Balancer | Scope.Scope>
) =>
  Effect.gen(function* () {
    const servers = yield* Effect.forEach(handlers, RawServer.make)
    const instances = servers.map(({ port }, index) => instance(`i${index}`, port))
    return yield* Effect.provide(run(servers), balanced(NodeHttpClient.layerUndici, instances))
  }).pipe(patiently, Effect.scoped)

const times = (count: number) => Array.from({ length: count }, (_, index) => index)

const text = (url: string) => Effect.flatMap(HttpClient.get(url), ({ text }) => text)

/** Waits in real time until it holds; the fixture owns the waiting. */
const eventually = <E, R>(condition: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.flatMap(condition, (holds) =>
    holds ? Effect.void : Effect.andThen(Effect.sleep("5 millis"), eventually(condition))
  )

const ordinals = (received: ReadonlyArray<string>) => received.filter((body) => body.startsWith("order"))

/** The clients that people balance over. */
const clients = [
  ["undici", NodeHttpClient.layerUndici],
  ["fetch", FetchHttpClient.layer],
  ["node:http", NodeHttpClient.layerNodeHttp]
] as const

/** The instances that count as failed when the first of two answers like that and its body is read. */
const failedWith = (handle: Handle) =>
  over([handle, fine], () =>
    Effect.gen(function* () {
      for (const _ of times(40)) {
        yield* Effect.exit(Effect.flatMap(HttpClient.get("http://orders/x"), ({ json }) => json))
      }
      assert.strictEqual(yield* requestsInFlight, 0)
      return (yield* Metric.snapshot).flatMap(({ attributes }) =>
        attributes?.["outcome"] === "failed" ? [attributes["instance"]] : []
      )
    })
  ).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))

describe("BalancedHttpClient with real servers", () => {
  it.live("F-s3: requests that are reset fail only if they may not be executed twice, and none of those is", () =>
    over([fine, resets, fine], (servers) =>
      Effect.gen(function* () {
        const reads = yield* Effect.forEach(times(100), () => Effect.result(text("http://orders/x")), {
          concurrency: 5
        })
        assert.isTrue(reads.every(({ _tag }) => _tag === "Success"))
        yield* Effect.forEach(
          times(100),
          (n) => Effect.exit(HttpClient.post("http://orders/x", { body: HttpBody.text(`order ${n}`) })),
          { concurrency: 5 }
        )
        const executed = servers.flatMap(({ received }) => ordinals(received))
        assert.strictEqual(new Set(executed).size, 100)
        assert.strictEqual(executed.length, 100)
      })
    )
  )

  it.live("F-s3: requests to a port where nobody listens are answered elsewhere, all of them, once", () =>
    Effect.gen(function* () {
      const alive = yield* RawServer.make(fine)
      const dead = yield* RawServer.closedPort
      const instances = [instance("alive", alive.port), instance("dead", dead)]
      yield* Effect.gen(function* () {
        yield* Effect.forEach(
          times(50),
          (n) => HttpClient.post("http://orders/x", { body: HttpBody.text(`order ${n}`) }),
          { concurrency: 5 }
        )
        assert.strictEqual(ordinals(alive.received).length, 50)
        assert.strictEqual(new Set(alive.received).size, 50)
      }).pipe(Effect.provide(balanced(NodeHttpClient.layerUndici, instances)))
    }).pipe(patiently, Effect.scoped)
  )

  for (const [name, below] of clients) {
    it.live(`F-s3: ${name} sends a body that can be read only once whole, although nobody listens at one port`, () =>
      Effect.gen(function* () {
        const alive = yield* RawServer.make(fine)
        const dead = yield* RawServer.closedPort
        const instances = [instance("alive", alive.port), instance("dead", dead)]
        const send = Effect.gen(function* () {
          const source = Readable.from(["an order ", "worth keeping"].map((part) => Buffer.from(part)))
          const body = HttpBody.stream(NodeStream.fromReadable({ evaluate: () => source }))
          yield* Effect.exit(HttpClient.post("http://orders/x", { body }))
        })
        // Each time with a balancer that does not know yet who is dead.
        for (const _ of times(30)) yield* Effect.provide(send, balanced(below, instances))
        assert.deepStrictEqual(new Set(alive.received), new Set(["an order worth keeping"]))
      }).pipe(patiently, Effect.scoped)
    )

    it.live(`F-s3: ${name} executes an order once whose answer leads to where nobody listens`, () =>
      Effect.gen(function* () {
        const dead = yield* RawServer.closedPort
        // A name may have several addresses, and each of them refuses.
        const leads =
          (host: string): Handle =>
          (_, response) => {
            response.writeHead(303, { location: `http://${host}:${dead}/receipt` })
            response.end()
          }
        const servers = yield* Effect.forEach([leads("127.0.0.1"), leads("localhost")], RawServer.make)
        const instances = servers.map(({ port }, index) => instance(`i${index}`, port))
        const follows = Layer.effect(
          HttpClient.HttpClient,
          Effect.map(HttpClient.HttpClient, HttpClient.followRedirects(3))
        )
        yield* Effect.gen(function* () {
          for (const n of times(6)) {
            yield* Effect.exit(HttpClient.post("http://orders/x", { body: HttpBody.text(`order ${n}`) }))
          }
          const balancer = yield* Balancer.Balancer
          const all = yield* balancer.status(instances[0].service)
          assert.deepStrictEqual(
            all.map(({ health }) => health._tag),
            ["Healthy", "Healthy"]
          )
        }).pipe(Effect.provide(balanced(Layer.provide(follows, below), instances)))
        const executed = servers.flatMap(({ received }) => ordinals(received))
        assert.deepStrictEqual(
          executed.toSorted(),
          times(6).map((n) => `order ${n}`)
        )
      }).pipe(patiently, Effect.scoped)
    )
  }

  it.live("is heard as the service, and reaches an instance over the port that it announced", () => {
    const hosts = new Set<string | undefined>()
    const notes: Handle = (request, response) => {
      hosts.add(request.headers.host)
      response.end(request.url)
    }
    return over([notes], () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* text("http://orders/a%20b?c=d"), "/a%20b?c=d")
        assert.deepStrictEqual([...hosts], ["orders"])
      })
    )
  })

  it.live("a request is in flight until the last byte of its body has arrived", () => {
    const finish: Array<() => void> = []
    const slow: Handle = (_, response) => {
      response.write("first ")
      finish.push(() => response.end("last"))
    }
    return over([slow], () =>
      Effect.gen(function* () {
        const response = yield* HttpClient.get("http://orders/x")
        const reading = yield* Effect.forkChild(response.text)
        assert.strictEqual(yield* requestsInFlight, 1)
        finish.pop()?.()
        assert.strictEqual(yield* Fiber.join(reading), "first last")
        assert.strictEqual(yield* requestsInFlight, 0)
      })
    )
  })

  it.live("a body that breaks off counts against the instance, one that cannot be parsed does not", () => {
    return Effect.gen(function* () {
      assert.deepStrictEqual(yield* failedWith(breaks), ["i0"])
      assert.deepStrictEqual(yield* failedWith(fine), [])
    })
  })

  const asked = HttpClient.get("http://orders/x")
  it.live.each([
    { what: "a response", asks: Effect.asVoid(asked) },
    // A scope keeps its exit, which is the response, and is part of what is around the request.
    { what: "the response of a scope", asks: Effect.asVoid(Effect.scoped(asked)) }
  ])("F-c1: $what that nobody reads and everybody forgot is not in flight for ever", ({ asks }) =>
    over([(_, response) => response.write("never ends")], () =>
      Effect.gen(function* () {
        setFlagsFromString("--expose-gc")
        const collect: () => void = runInNewContext("gc")
        yield* asks
        assert.strictEqual(yield* requestsInFlight, 1)
        yield* eventually(
          Effect.suspend(() => {
            collect()
            return Effect.map(requestsInFlight, (count) => count === 0)
          })
        )
      })
    )
  )

  it.live("reads an answer to the end that it does not use, so that its connection is used again", () => {
    const connections = new Set<unknown>()
    let requests = 0
    const everySecond: Handle = (request, response) => {
      connections.add(request.socket)
      response.writeHead(requests++ % 2 === 0 ? 503 : 200).end("a body")
    }
    return over([everySecond, everySecond], (servers) =>
      Effect.gen(function* () {
        for (const _ of times(30)) {
          assert.strictEqual(yield* text("http://orders/x"), "a body")
          yield* eventually(Effect.map(requestsInFlight, (count) => count === 0))
        }
        assert.isAbove(servers[0].received.length + servers[1].received.length, 40)
        assert.strictEqual(connections.size, 2)
      })
    )
  })

  it.live("balances an HttpApi client as it is", () => {
    const Api = HttpApi.make("orders").add(
      HttpApiGroup.make("orders").add(HttpApiEndpoint.get("who", "/who", { success: Schema.String }))
    )
    const routes = (name: string) =>
      HttpApiBuilder.layer(Api).pipe(
        Layer.provide(
          HttpApiBuilder.group(Api, "orders", (handlers) =>
            Effect.succeed(handlers.handle("who", () => Effect.succeed(name)))
          )
        )
      )
    return served(
      routes,
      Effect.gen(function* () {
        const client = yield* HttpApiClient.make(Api, { baseUrl: "http://orders" })
        return yield* Effect.forEach(times(60), () => client.orders.who())
      })
    )
  })

  it.live("balances an RPC client as it is, streams included", () => {
    class Orders extends RpcGroup.make(
      Rpc.make("who", { success: Schema.String }),
      Rpc.make("count", { success: Schema.Finite, stream: true })
    ) {}
    const routes = (name: string) =>
      RpcServer.layerHttp({ group: Orders, path: "/rpc", protocol: "http" }).pipe(
        Layer.provide(Orders.toLayer({ count: () => Stream.make(1, 2, 3), who: () => Effect.succeed(name) })),
        Layer.provide(RpcSerialization.layerNdjson)
      )
    return served(
      routes,
      Effect.gen(function* () {
        const client = yield* RpcClient.make(Orders)
        assert.deepStrictEqual(yield* Stream.runCollect(client.count()), [1, 2, 3])
        return yield* Effect.forEach(times(60), () => client.who())
      }).pipe(
        Effect.provide(RpcClient.layerProtocolHttp({ url: "http://orders/rpc" })),
        Effect.provide(RpcSerialization.layerNdjson),
        Effect.scoped
      )
    )
  })
})

/**
 * Serves the routes three times under different names. The client calls them in turn, so that it must meet each as often
 * as the others however long their first answers take, and leaves nothing behind.
 */
const served = <E>(
  routes: (
    name: string
  ) => Layer.Layer<never, never, HttpRouter.HttpRouter | Layer.Success<typeof NodeHttpServer.layerHttpServices>>,
  client: Effect.Effect<ReadonlyArray<string>, E, HttpClient.HttpClient>
) =>
  Effect.gen(function* () {
    const ports = yield* Effect.forEach(["one", "two", "three"], (name) =>
      Effect.gen(function* () {
        const server = yield* Layer.build(
          HttpRouter.serve(routes(name), { disableLogger: true, disableListenLog: true }).pipe(
            Layer.provideMerge(NodeHttpServer.layer(() => Http.createServer(), { port: 0, host: "127.0.0.1" }))
          )
        )
        const { address } = yield* Effect.provide(HttpServer.HttpServer, server)
        return address._tag === "InetAddressV4" ? address.port : 0
      })
    )
    yield* Effect.gen(function* () {
      const names = yield* client
      const shares = ["one", "two", "three"].map((name) => names.filter((other) => other === name).length)
      assert.strictEqual(names.length, 60)
      assert.isAtLeast(Math.min(...shares), 18, shares.join(" "))
      yield* eventually(Effect.map(requestsInFlight, (count) => count === 0))
    }).pipe(
      Effect.provide(
        balanced(
          NodeHttpClient.layerUndici,
          ports.map((port, index) => instance(`i${index}`, port))
        ).pipe(Layer.provide(Layer.succeed(Policy.Choose, Pick.roundRobin)))
      )
    )
  }).pipe(Effect.scoped)
