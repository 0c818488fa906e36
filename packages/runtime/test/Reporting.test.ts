/**
 * Load reports from a real server to the policy of the client, and keys from a request to the policy.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, References } from "effect"
import { HttpClient, HttpRouter, HttpServerResponse } from "effect/http"
import { LoadReport, Pick, Policy } from "@muster/core"
import { BalancedHttpClient, Registrar } from "@muster/runtime"
import { makeRoutes, server } from "./fixtures/orders.ts"
import { type Answer, ok, scripted, status, times } from "./fixtures/scriptedClient.ts"
import { make } from "./fixtures/ScriptedRegistry.ts"
import { balanced, instance } from "./fixtures/staticService.ts"

/** What the server says with its answer to one GET. */
const said = (address: string, path: string) =>
  Effect.promise(async () => {
    const response = await fetch(`http://${address}${path}`)
    const header = response.headers.get(LoadReport.header)
    await response.text()
    return header === null ? undefined : LoadReport.parse(header)
  })

/** A registered server with these routes. */
const serving = <E, R>(routes: Layer.Layer<never, E, R>, isReporting = true) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(
      Registrar.serve(routes, { service: "orders" }).pipe(
        Layer.provide([server, make().layer]),
        Layer.provide([
          Layer.succeed(Policy.ReportLoad, isReporting),
          Layer.succeed(Policy.Drain, { wait: Duration.zero, withdrawal: Duration.zero }),
          Layer.succeed(References.MinimumLogLevel, "None")
        ])
      )
    )
    return Context.get(context, Registrar.Registrar).endpoint.address
  })

const ports = (asked: ReadonlyArray<{ readonly url: string }>) => asked.map(({ url }) => Number(new URL(url).port))

const ten = times(10).map((index) => instance(`i${index}`, index + 1))

/** A client with this policy, over ten instances that answer like that. */
const choosing = (policy: Pick.Policy, answer: Answer) => {
  const { asked, layer } = scripted(answer)
  return { asked, client: Layer.provide(balanced(layer, ten), Layer.succeed(Policy.Choose, policy)) }
}

const get = HttpClient.get("http://orders/x")

describe("Load reports", () => {
  it.live("a server says with every answer, errors included, how busy it is besides", () =>
    Effect.gen(function* () {
      const routes = yield* makeRoutes
      const address = yield* serving(routes.layer)
      assert.strictEqual((yield* said(address, "/"))?.inFlight, 0)
      const slow = yield* Effect.forkChild(said(address, "/slow"))
      yield* routes.arrived
      assert.strictEqual((yield* said(address, "/"))?.inFlight, 1)
      assert.strictEqual((yield* said(address, "/nothing-here"))?.inFlight, 1)
      yield* routes.release
      yield* Fiber.join(slow)
      let now = yield* said(address, "/")
      while (now?.inFlight !== 0) now = yield* said(address, "/")
      assert.isAbove(now.latency, 0)
    }).pipe(Effect.scoped)
  )

  it.live("a server that is told not to says nothing", () =>
    Effect.gen(function* () {
      const address = yield* serving(
        HttpRouter.serve(HttpRouter.add("GET", "/", HttpServerResponse.text("ok")), { disableLogger: true }),
        false
      )
      assert.isUndefined(yield* said(address, "/"))
    }).pipe(Effect.scoped)
  )

  it.effect("a client goes where they say that answers come quickly", () => {
    const { asked, client } = choosing(Pick.hotCold, (port) =>
      status(200, { [LoadReport.header]: LoadReport.format({ inFlight: 1, latency: port === 3 ? 5 : 500 }) })
    )
    return Effect.gen(function* () {
      yield* Effect.forEach(times(100), () => Effect.flatMap(get, ({ text }) => text))
      asked.length = 0
      yield* Effect.forEach(times(2000), () => Effect.flatMap(get, ({ text }) => text))
      assert.isAbove(ports(asked).filter((port) => port === 3).length, 600, "a fifth would be chance")
    }).pipe(Effect.provide(client))
  })
})

describe("Keys", () => {
  it.effect("requests with the same key go to the same instance, and keys are spread", () => {
    const { asked, client } = choosing(Pick.ringHash, ok)
    return Effect.gen(function* () {
      yield* Effect.forEach(times(100), (customer) =>
        Effect.repeat(BalancedHttpClient.keyed(`customer-${customer}`)(Effect.flatMap(get, ({ text }) => text)), {
          times: 4
        })
      )
      const all = ports(asked)
      for (const customer of times(100)) {
        assert.strictEqual(new Set(all.slice(customer * 5, customer * 5 + 5)).size, 1, `customer-${customer}`)
      }
      assert.isAtLeast(new Set(all).size, 8)
    }).pipe(Effect.provide(client))
  })

  it.effect("the key of a request may be in its headers, and a request without one goes anywhere", () => {
    const { asked, client } = choosing(Pick.ringHash, ok)
    return Effect.gen(function* () {
      yield* Effect.forEach(times(20), () =>
        Effect.flatMap(HttpClient.get("http://orders/x", { headers: { "x-customer": "one" } }), ({ text }) => text)
      )
      assert.strictEqual(new Set(ports(asked)).size, 1)
      asked.length = 0
      yield* Effect.forEach(times(100), () => Effect.flatMap(get, ({ text }) => text))
      assert.isAtLeast(new Set(ports(asked)).size, 8)
    }).pipe(
      Effect.provideService(BalancedHttpClient.Key, ({ headers }) => headers["x-customer"]),
      Effect.provide(client)
    )
  })

  it.effect("a key whose instance fails is served by the next one, always the same", () => {
    let broken = 0
    const { asked, client } = choosing(Pick.ringHash, (port) => (port === broken ? status(503) : ok()))
    const send = BalancedHttpClient.keyed("customer")(Effect.flatMap(get, ({ text }) => text))
    return Effect.gen(function* () {
      yield* send
      broken = ports(asked)[0]
      asked.length = 0
      yield* Effect.repeat(send, { times: 2 })
      const seconds = ports(asked).filter((port) => port !== broken)
      assert.strictEqual(seconds.length, 3)
      assert.strictEqual(new Set(seconds).size, 1)
    }).pipe(Effect.provide(client))
  })
})
