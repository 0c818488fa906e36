import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Duration, Effect, Layer, Queue, Schedule } from "effect"
import { Endpoint, Policy, type Target } from "@muster/core"
import * as Dns from "@muster/backends/Dns"
import * as NameServer from "./fixtures/NameServer.ts"
import * as OwnTime from "./fixtures/ownTime.ts"
import { fails, list } from "./fixtures/steps.ts"
import { orders, reads, reset, watch } from "./RegistryContract.ts"

/** A slow machine is no fault. */
const patient = Duration.seconds(15)
/** For what is about the time that a fault takes to be noticed. */
const impatient = Duration.millis(600)

const services = (nameServer: Target.Address, options: Partial<Dns.Options> = {}, deadline = patient) =>
  Dns.layer({ name: "_{service}._tcp.test", nameServers: [nameServer], ...options }).pipe(
    Layer.provide(Layer.succeed(Policy.CallDeadline, deadline)),
    Layer.provide(Layer.succeed(Policy.Refresh, Schedule.spaced("2 seconds")))
  )
const addresses = (nameServer: Target.Address, options: Partial<Dns.Options> = {}, deadline = patient) =>
  services(nameServer, { name: "{service}.test", port: 80, ...options }, deadline)

const srv = (target: string, port: number, priority = 0, weight = 0) =>
  `srv-host=_orders._tcp.test,${target},${port},${priority},${weight}`
const loopback = { host: "127.0.0.1", port: 9 }

const shown = ({ endpoints }: { readonly endpoints: ReadonlyArray<Endpoint.Endpoint> }) =>
  endpoints.map(({ address, weight }) => `${address} ${weight}`).toSorted()

const withServer = <A, E, R>(
  lines: ReadonlyArray<string>,
  body: (server: Effect.Success<ReturnType<typeof NameServer.make>>) => Effect.Effect<A, E, R>
) => Effect.flatMap(NameServer.make(lines), body)

describe.skipIf(NameServer.isMissing)("with a real name server", () => {
  reads(
    "Dns",
    (endpoints) =>
      Layer.unwrap(
        Effect.map(
          NameServer.make(["host-record=a.test,127.0.0.1", ...endpoints.map(({ port }) => srv("a.test", port))]),
          (server) => services(server.address)
        )
      ),
    it.live,
    // An answer has at most 64 KiB.
    2000
  )

  describe("Dns", () => {
    it.live(
      "F-dns: reads priorities and weights as RFC 2782 means them, and looks targets up with the same servers",
      () =>
        withServer(
          [
            "host-record=a.test,10.0.0.1,fd00::1",
            "host-record=b.test,10.0.0.2",
            srv("a.test", 80, 1, 3),
            srv("b.test", 80, 1, 0),
            srv("b.test", 81, 2, 5),
            srv("b.test", 80, 2, 9)
          ],
          ({ address }) =>
            Effect.gen(function* () {
              const found = yield* list
              assert.deepStrictEqual(shown(found), [
                "10.0.0.1:80 1.5",
                "10.0.0.2:80 0.03",
                "10.0.0.2:81 0",
                "[fd00::1]:80 1.5"
              ])
              assert.deepStrictEqual(found.endpoints.find(({ host }) => host === "10.0.0.1")?.metadata, {
                target: "a.test"
              })
              const only = yield* Effect.provide(list, services(address, { family: "IPv4" }))
              assert.strictEqual(only.endpoints.length, 3)
            }).pipe(Effect.provide(services(address)))
        )
    )

    it.live("F-dns: gives each record its share, however many addresses its target has", () =>
      withServer(
        [
          "host-record=a.test,10.0.0.1",
          ...[2, 3, 4, 5].map((n) => `host-record=b.test,10.0.0.${n}`),
          srv("a.test", 80, 0, 50),
          srv("b.test", 80, 0, 50)
        ],
        ({ address }) =>
          Effect.gen(function* () {
            assert.deepStrictEqual(shown(yield* list), [
              "10.0.0.1:80 50",
              ...[2, 3, 4, 5].map((n) => `10.0.0.${n}:80 12.5`)
            ])
          }).pipe(Effect.provide(services(address)))
      )
    )

    it.live("F-dns-i: skips a target without an address and a port 0, and takes the target '.' for nothing", () =>
      withServer(
        ["host-record=a.test,10.0.0.1", srv("a.test", 80), srv("a.test", 0), srv("gone.test", 81)],
        ({ address, serve }) =>
          Effect.gen(function* () {
            const { endpoints, skipped } = yield* list
            assert.deepStrictEqual(
              endpoints.map((one) => one.address),
              ["10.0.0.1:80"]
            )
            assert.deepStrictEqual(skipped.map(({ key }) => key).toSorted(), [
              "orders/10.0.0.1:0",
              "orders/gone.test:81"
            ])
            yield* serve(["srv-host=_orders._tcp.test"])
            assert.deepStrictEqual(yield* Effect.map(list, ({ endpoints, skipped }) => [endpoints, skipped]), [[], []])
          }).pipe(Effect.provide(services(address)))
      )
    )

    it.live("lists both families under one port, each address once, and answers for each service by its own name", () =>
      withServer(
        [
          "host-record=orders.test,10.0.0.1,fd00::1",
          "host-record=orders.test,10.0.0.2",
          "host-record=bills.test,10.0.0.3"
        ],
        ({ address }) =>
          Effect.gen(function* () {
            assert.deepStrictEqual(shown(yield* list), ["10.0.0.1:80 1", "10.0.0.2:80 1", "[fd00::1]:80 1"])
            const bills = yield* Effect.scoped(Effect.flatMap(watch(Endpoint.ServiceName.make("bills")), reset))
            assert.deepStrictEqual(shown(bills), ["10.0.0.3:80 1"])
          }).pipe(Effect.provide(addresses(address)))
      )
    )

    it.live("F-dns-c: a name that does not exist, or has no such records, is an authoritative nothing", () =>
      withServer(["host-record=orders.test,10.0.0.1", "txt-record=bills.test,x"], ({ address }) =>
        Effect.gen(function* () {
          for (const name of ["bills", "unknown"]) {
            const found = yield* Effect.scoped(Effect.flatMap(watch(Endpoint.ServiceName.make(name)), reset))
            assert.deepStrictEqual([found.endpoints, found.skipped], [[], []])
          }
        }).pipe(Effect.provide(addresses(address)))
      )
    )

    it.live("asks for addresses again when their time to live is over, and not before", () =>
      withServer(["host-record=orders.test,10.0.0.1,2"], ({ address, serve }) =>
        Effect.gen(function* () {
          const queue = yield* watch(orders)
          const [wall, [own]] = yield* Effect.timed(OwnTime.timed(Effect.andThen(reset(queue), reset(queue))))
          assert.isAtLeast(Duration.toMillis(wall), 2000)
          assert.isBelow(Duration.toMillis(own), 3000)
          yield* serve(["host-record=orders.test,10.0.0.2,300"])
          assert.deepStrictEqual(shown(yield* reset(queue)), ["10.0.0.2:80 1"])
        }).pipe(Effect.provide(addresses(address)))
      )
    )

    it.live("asks for SRV records again by the schedule, and tells the news of a deployment", () =>
      withServer(["host-record=a.test,10.0.0.1", srv("a.test", 80)], ({ address, serve }) =>
        Effect.gen(function* () {
          const queue = yield* watch(orders)
          assert.deepStrictEqual(shown(yield* reset(queue)), ["10.0.0.1:80 1"])
          yield* serve(["host-record=a.test,10.0.0.1", srv("a.test", 80), srv("a.test", 81)])
          const [took, found] = yield* OwnTime.timed(reset(queue))
          assert.deepStrictEqual(shown(found), ["10.0.0.1:80 1", "10.0.0.1:81 1"])
          assert.isBelow(Duration.toMillis(took), 3000)
        }).pipe(Effect.provide(services(address)))
      )
    )

    it.live("F-dns-a, F-dns-a2: a name server that is gone or silent ends the watch within the deadline", () =>
      withServer(["host-record=a.test,10.0.0.1", srv("a.test", 80)], ({ address, pause, resume, stop }) =>
        Effect.gen(function* () {
          const queue = yield* Effect.provide(watch(orders), services(address, {}, impatient))
          yield* reset(queue)
          yield* pause
          const [took] = yield* OwnTime.timed(
            fails(Effect.forever(Queue.take(queue)), "TimedOut", /no name server answered/)
          )
          assert.isBelow(Duration.toMillis(took), 3500)
          yield* resume
          assert.deepStrictEqual(shown(yield* list), ["10.0.0.1:80 1"])
          yield* stop
          yield* fails(list, "Unavailable", /ECONNREFUSED/)
        }).pipe(Effect.provide(services(address)))
      )
    )

    it.live("takes its options from configuration", () =>
      withServer(["host-record=a.test,10.0.0.1", srv("a.test", 80)], ({ address }) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(shown(yield* list), ["10.0.0.1:80 1"])
        }).pipe(
          Effect.provide(
            Dns.layerConfig({
              name: Config.String("NAME"),
              nameServers: Config.succeed([address])
            }).pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ NAME: "_{service}._tcp.test" }))))
          )
        )
      )
    )
  })
})

describe("Dns", () => {
  for (const [code, tag, message, deadline] of [
    [2, "Unavailable", /ESERVFAIL/, patient],
    [5, "PermissionDenied", /refuses to answer/, patient],
    [1, "Unreadable", /EFORMERR/, patient],
    [undefined, "TimedOut", /no name server answered within 600/, impatient]
  ] as const) {
    it.live(`F-dns-e: response code ${code} says nothing about the name: ${tag}, not an empty list`, () =>
      Effect.gen(function* () {
        const { port } = yield* NameServer.failing(code)
        const to = { host: "127.0.0.1", port }
        yield* Effect.provide(fails(list, tag, message), services(to, {}, deadline))
        yield* Effect.provide(fails(list, tag, message), addresses(to, {}, deadline))
      })
    )
  }

  it.live("says which name server is no address, for good", () =>
    Effect.gen(function* () {
      const error = yield* fails(list, "Unreadable", /ns\.test:53; a name server is given by its IP address/)
      assert.isFalse(error.isTransient)
    }).pipe(Effect.provide(services({ host: "ns.test", port: 53 })))
  )

  it.live("goes on to the next name server when one does not answer", () =>
    Effect.gen(function* () {
      const silent = yield* NameServer.failing(undefined)
      const nothing = yield* NameServer.failing(3)
      const nameServers = [silent, nothing].map(({ port }) => ({ host: "127.0.0.1", port }))
      const asking = services(loopback, { nameServers }, Duration.seconds(3))
      assert.deepStrictEqual((yield* Effect.provide(list, asking)).endpoints, [])
    })
  )
})
