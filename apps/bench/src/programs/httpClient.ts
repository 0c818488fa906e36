/**
 * Sends GETs to three servers: `muster` balanced with everything on, `roundRobin` with the same client
 * and each server in turn, `pool` with an undici `Pool` for each server in turn, `balancedPool` with undici's.
 *
 * For each line, how many requests and how many of them at a time, it answers the requests per second and the median
 * latency in microseconds.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Direct from "@muster/backends/Direct"
import * as BalancedHttpClient from "@muster/runtime/BalancedHttpClient"
import * as Balancer from "@muster/runtime/Balancer"
import * as Discovery from "@muster/runtime/Discovery"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import { createInterface } from "node:readline/promises"
import { BalancedPool, Pool } from "undici"

const [name = "", ...given] = process.argv.slice(2)
const ports = given.map(Number)
const origins = ports.map((port) => `http://127.0.0.1:${port}`)

const turns = <A>(all: ReadonlyArray<A>) => {
  let turn = 0
  return () => all[turn++ % all.length]
}

/** Sends the requests and says how that went. */
const measured = <E, R>(request: Effect.Effect<unknown, E, R>, times: number, atOnce: number) =>
  Effect.gen(function* () {
    const latencies = new Float64Array(times)
    let sent = 0
    const one = Effect.gen(function* () {
      while (sent < times) {
        const place = sent++
        const startedAt = process.hrtime.bigint()
        yield* request
        latencies[place] = Number(process.hrtime.bigint() - startedAt) / 1e3
      }
    })
    const startedAt = process.hrtime.bigint()
    yield* Effect.all(
      Array.from({ length: atOnce }, () => one),
      { concurrency: "unbounded", discard: true }
    )
    const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9
    const median = latencies.toSorted()[times >> 1]
    process.stdout.write(`${times / seconds} ${median}\n`)
  })

const serve = <E, R>(request: Effect.Effect<unknown, E, R>) =>
  Effect.gen(function* () {
    const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
    while (true) {
      const line = yield* Effect.promise(() => lines.next())
      if (line.done === true) return
      const [times = 0, atOnce = 0] = line.value.split(" ").map(Number)
      yield* measured(request, times, atOnce)
    }
  })

const ask = Effect.flatMap(HttpClient.get("http://orders/"), (response) => response.text)

const inTurn = Layer.effect(
  HttpClient.HttpClient,
  Effect.gen(function* () {
    const below = yield* HttpClient.HttpClient
    const next = turns(origins)
    return HttpClient.mapRequest(below, (request) => HttpClientRequest.setUrl(request, `${next()}/`))
  })
).pipe(Layer.provide(NodeHttpClient.layerUndici))

const balanced = BalancedHttpClient.layer.pipe(
  Layer.provide([NodeHttpClient.layerUndici, Balancer.layer]),
  Layer.provide(Discovery.layer),
  Layer.provide(Direct.layer({ addresses: ports.map((port) => ({ host: "127.0.0.1", port })) }))
)

const withUndici = (next: () => Pool | BalancedPool | undefined) =>
  serve(
    Effect.promise(async () => {
      const response = await next()?.request({ path: "/", method: "GET" })
      return response?.body.text()
    })
  )

const contenders: Readonly<Record<string, () => Effect.Effect<void, unknown>>> = {
  muster: () => Effect.provide(serve(ask), balanced),
  roundRobin: () => Effect.provide(serve(ask), inTurn),
  pool: () => withUndici(turns(origins.map((origin) => new Pool(origin)))),
  balancedPool: () => {
    const pool = new BalancedPool(origins)
    return withUndici(() => pool)
  }
}

const contender = contenders[name]?.() ?? Effect.void
contender.pipe(Effect.provideService(References.MinimumLogLevel, "Error"), NodeRuntime.runMain)
