import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Duration, Effect, Exit, Fiber, Layer, Logger, References, Schedule, Scope } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { NetAddress } from "effect/net"
import { Policy } from "@muster/core"
import { Advertise, Registrar } from "@muster/runtime"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createServer, type Server } from "node:http"
import { createServer as createH2cServer } from "node:http2"
import { createServer as createTlsServer } from "node:https"
import type * as Net from "node:net"
import { fileURLToPath } from "node:url"
import * as OwnTime from "../../backends/test/fixtures/ownTime.ts"
import { get, makeRoutes, server } from "./fixtures/orders.ts"
import { type Behaviour, make } from "./fixtures/ScriptedRegistry.ts"

const drain = { wait: Duration.seconds(2), withdrawal: Duration.seconds(30) }

const quiet = Layer.succeed(References.MinimumLogLevel, "None")

/** Builds a layer in a scope that the test closes itself. */
const launch = <A, E>(layer: Layer.Layer<A, E>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(Layer.provide(layer, quiet), scope)
    return { context, close: Scope.close(scope, Exit.void) }
  })

describe("Registrar.serve", () => {
  it.live("F-s2: a real GET is 200 inside the first grant and all through the drain, a slow one included", () =>
    Effect.gen(function* () {
      const script = make()
      const routes = yield* makeRoutes
      const asked: Array<string> = []
      const getFirst: Behaviour = (work, endpoint) =>
        Effect.gen(function* () {
          asked.push(`${endpoint.draining ? "draining" : "serving"} ${yield* get(endpoint.address)}`)
          yield* work
          asked.push(`then ${yield* get(endpoint.address)}`)
        })
      script.all(getFirst)
      const { context, close } = yield* launch(
        Registrar.serve(routes.layer, { service: "orders" }).pipe(
          Layer.provide([server, script.layer, Layer.succeed(Policy.Drain, drain)])
        )
      )
      const { registered, endpoint } = Context.get(context, Registrar.Registrar)
      yield* registered
      const slow = yield* Effect.forkChild(get(endpoint.address, "/slow"))
      yield* routes.arrived

      const closing = yield* Effect.forkChild(close)
      const statuses: Array<number> = []
      while (script.entries.size > 0) {
        const status = yield* get(endpoint.address)
        if (script.entries.size > 0) statuses.push(status)
      }
      assert.isAbove(statuses.length, 5)
      assert.deepStrictEqual(new Set(statuses), new Set([200]))
      assert.isUndefined(closing.pollUnsafe())
      yield* routes.release
      assert.strictEqual(yield* Fiber.join(slow), 200)
      yield* Fiber.join(closing)
      assert.strictEqual(yield* get(endpoint.address), 0)
      assert.deepStrictEqual(asked, ["serving 200", "then 200", "draining 200", "then 200", "serving 200", "then 200"])
    })
  )

  it.live("withdraws first, then releases the serving layer, then closes the server", () =>
    Effect.gen(function* () {
      const script = make()
      const routes = yield* makeRoutes
      const order: Array<string> = []
      const note = (what: string) => Effect.sync(() => order.push(what))
      const noted = <A, E, R>(what: string, layer: Layer.Layer<A, E, R>) =>
        Layer.provideMerge(layer, Layer.effectDiscard(Effect.addFinalizer(() => note(what))))
      script.behave.revoke = (work) =>
        Effect.andThen(Effect.andThen(Effect.sleep("50 millis"), work), note("withdrawn"))
      const { context, close } = yield* launch(
        Registrar.serve(noted("serving layer", routes.layer), { service: "orders" }).pipe(
          Layer.provide(noted("server", server)),
          Layer.provide([noted("registry", script.layer), Layer.succeed(Policy.Drain, drain)])
        )
      )
      yield* Context.get(context, Registrar.Registrar).registered
      yield* close
      assert.deepStrictEqual(order, ["withdrawn", "serving layer", "server", "registry"])
    })
  )

  it.live("F-s1: accepted connections are no answer; an answer of any kind is", () =>
    Effect.gen(function* () {
      const script = make()
      const http = yield* listening(createServer())
      const thirdGivenUp = yield* Deferred.make<void>()
      let givenUp = 0
      http.on("connection", (socket) =>
        socket.on("close", () => {
          if (++givenUp === 3) Deferred.doneUnsafe(thirdGivenUp, Effect.void)
        })
      )
      const { context } = yield* registered(script, boundTo(http)).pipe(
        Effect.provideService(Policy.CallDeadline, Duration.millis(100))
      )
      const registrar = Context.get(context, Registrar.Registrar)
      yield* Deferred.await(thirdGivenUp)
      assert.deepStrictEqual([(yield* registrar.state)._tag, script.calls], ["Idle", []])
      http.on("request", (_, response) => response.writeHead(500).end())
      yield* registrar.registered
    })
  )

  it.live("asks the server for an answer once, however long it is not ready", () =>
    Effect.gen(function* () {
      const script = make()
      const asked: Array<string | undefined> = []
      const http = yield* listening(createServer((request, response) => response.end(String(asked.push(request.url)))))
      let times = 0
      const { context } = yield* registered(script, boundTo(http), { ready: Effect.sync(() => ++times === 10) })
      yield* Context.get(context, Registrar.Registrar).registered
      assert.deepStrictEqual([times, asked], [10, ["/.well-known/muster"]])
    })
  )

  for (const reportsLoad of [true, false]) {
    it.live(`${reportsLoad ? "" : "without load reports, "}the log of the server does not show what it was asked`, () =>
      Effect.gen(function* () {
        const urls: Array<unknown> = []
        const othersLogged = yield* Deferred.make<void>()
        const logger = Logger.make(({ fiber }) => {
          const { "http.url": url } = fiber.getRef(References.CurrentLogAnnotations)
          if (url !== undefined) urls.push(url)
          if (url === "/nothing-here") Deferred.doneUnsafe(othersLogged, Effect.void)
        })
        const routes = HttpRouter.serve(HttpRouter.add("GET", "/", HttpServerResponse.text("ok")))
        const context = yield* Registrar.serve(routes, { service: "orders" }).pipe(
          Layer.provide([
            server,
            make().layer,
            Logger.layer([logger]),
            Layer.succeed(Policy.ReportLoad, reportsLoad),
            Layer.succeed(Policy.Drain, { ...drain, wait: Duration.zero })
          ]),
          Layer.build
        )
        const { endpoint, registered } = Context.get(context, Registrar.Registrar)
        yield* registered
        assert.strictEqual(yield* get(endpoint.address, "/nothing-here"), 404)
        yield* Deferred.await(othersLogged)
        assert.deepStrictEqual(urls, ["/nothing-here"])
      })
    )
  }

  it.live("takes bytes that are not HTTP, or a closed connection, for the answer of TLS and HTTP/2", () =>
    Effect.gen(function* () {
      for (const http of [createTlsServer(), createH2cServer()]) {
        const script = make()
        const { context } = yield* registered(script, boundTo(yield* listening(http)))
        yield* Context.get(context, Registrar.Registrar).registered
      }
    })
  )

  it.live("registers a server on all interfaces under the address of the machine, and asks it over loopback", () =>
    Effect.gen(function* () {
      for (const any of [NetAddress.ipv4Unspecified, NetAddress.ipv6Unspecified]) {
        const script = make()
        const http = yield* listening(createServer((_, response) => response.end("ok")))
        const { context } = yield* registered(script, boundTo(http, any))
        const { endpoint, registered: isRegistered } = Context.get(context, Registrar.Registrar)
        yield* isRegistered
        assert.strictEqual(endpoint.address, `10.0.0.5:${boundTo(http).port}`)
      }
    })
  )

  it.live("says what to set when the address would be a guess, before anything is registered", () =>
    Effect.gen(function* () {
      const script = make()
      const addresses = ["10.0.0.5", "10.0.0.6"].map((address, n) => ({ interface: `eth${n}`, address }))
      const any = NetAddress.inetAddressUnsafe(NetAddress.ipv4Unspecified, 4000)
      const error = yield* Effect.flip(registered(script, any, {}, addresses))
      assert.include(error.message, "orders cannot be registered: ")
      assert.include(error.message, "eth0 10.0.0.5, eth1 10.0.0.6; set advertise.host")
      assert.deepStrictEqual(script.calls, [])
    })
  )

  it.live(
    "F-s2: SIGTERM with a registry that hangs ends the process within drain wait + 2 s, and no request fails",
    () =>
      Effect.gen(function* () {
        const file = fileURLToPath(new URL("fixtures/hangingServer.ts", import.meta.url))
        const child = spawn(process.execPath, ["--conditions=muster-source", file], {
          stdio: ["ignore", "pipe", "inherit"]
        })
        yield* Effect.addFinalizer(() => Effect.sync(() => child.kill("SIGKILL")))
        const exited = once(child, "exit")
        const [address]: ReadonlyArray<string> = yield* Effect.promise(() =>
          once(child.stdout.setEncoding("utf8"), "data")
        )
        if (address === undefined) return assert.fail("the server did not say where it listens")
        const slow = yield* Effect.forkChild(get(address, "/slow"))
        assert.strictEqual(yield* get(address), 200)
        const [wall, [own, [code]]] = yield* Effect.timed(
          OwnTime.timed(
            Effect.suspend(() => {
              child.kill("SIGTERM")
              return Effect.promise(() => exited)
            })
          )
        )
        assert.strictEqual(yield* Fiber.join(slow), 200)
        assert.strictEqual(code, 130)
        assert.isAtLeast(Duration.toMillis(wall), 1000)
        assert.isAtMost(Duration.toMillis(own), 3000)
      })
  )
})

const listening = <S extends Net.Server>(net: S) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      net.listen(0, "127.0.0.1")
      await once(net, "listening")
      return net
    }),
    () =>
      Effect.sync(() => {
        net.close()
        if ("closeAllConnections" in net) (net as Net.Server as Server).closeAllConnections()
      })
  )

/** Where this server listens, or pretends to. */
const boundTo = (net: Net.Server, address: NetAddress.IpAddress = NetAddress.ipv4Loopback) =>
  NetAddress.inetAddressUnsafe(address, (net.address() as Net.AddressInfo).port)

/** Registers whatever is bound there, on a machine with these addresses, asking for answers every few milliseconds. */
const registered = (
  script: ReturnType<typeof make>,
  address: NetAddress.InetAddress,
  options: Partial<Registrar.Options> = {},
  addresses: ReadonlyArray<Advertise.MachineAddress> = [{ interface: "eth0", address: "10.0.0.5" }]
) =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const context = yield* Registrar.serve(Layer.empty, { service: "orders", ...options }).pipe(
      Layer.provide([
        quiet,
        Layer.succeed(HttpServer.HttpServer, HttpServer.make({ address, serve: () => Effect.void })),
        script.layer,
        Layer.succeed(Advertise.MachineAddresses, Effect.succeed(addresses)),
        Layer.succeed(Policy.Drain, { ...drain, wait: Duration.zero }),
        Layer.succeed(Policy.Readiness, Schedule.spaced("5 millis"))
      ]),
      Layer.buildWithScope(scope)
    )
    return { context }
  })
