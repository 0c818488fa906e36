import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Duration, Effect, Exit, Layer, Queue, Redacted, Schedule, Scope } from "effect"
import { copyFileSync, readFileSync, writeFileSync } from "node:fs"
import { DiscoveryState, Endpoint, Policy, Registry, type Resolver, Snapshot } from "@muster/core"
import * as Nacos from "@muster/backends/Nacos"
import { certificate, temporary } from "./fixtures/files.ts"
import type { Faults, Options } from "./fixtures/nacosServer.ts"
import * as OwnTime from "./fixtures/ownTime.ts"
import * as Program from "./fixtures/Program.ts"
import {
  calls,
  eventually,
  fails,
  ids,
  list,
  register,
  renew,
  renewManyInVain,
  revoke,
  takeUntil
} from "./fixtures/steps.ts"
import { instance, orders, reset, watch } from "./RegistryContract.ts"

const server = (options: Options = {}) =>
  Program.make<Options, Faults>("./nacosServer.ts", { pushDelay: 20, judgeEvery: 100, ...options })
type Server = Effect.Success<ReturnType<typeof server>>

const policies = (deadline: Duration.Duration) =>
  Layer.mergeAll(
    Layer.succeed(Policy.Heartbeat, Duration.millis(300)),
    Layer.succeed(Policy.CallDeadline, deadline),
    Layer.succeed(Policy.PollRemote, Duration.millis(100))
  )
/** A slow machine is no fault. */
const patient = policies(Duration.seconds(15))
/** For what is about the time that a fault takes to be noticed. */
const impatient = policies(Duration.seconds(2))
const nacos = (to: Server, options: Nacos.Options = {}, patience = patient) =>
  Nacos.layer({ hosts: to.ports.map((port) => ({ host: "127.0.0.1", port })), ...options }).pipe(
    Layer.provide(patience)
  )

type Ports = Registry.Registry | Resolver.Resolver | Scope.Scope
const withServer = <A, E>(
  body: (server: Server) => Effect.Effect<A, E, Ports>,
  options: Options = {},
  client: Nacos.Options = {},
  patience = patient
) => Effect.flatMap(server(options), (it) => Effect.provide(body(it), nacos(it, client, patience)))

const requests = (it: Server) => Effect.map(it.control("requests"), (text) => JSON.parse(text) as ReadonlyArray<string>)

/** Each protocol, and a server that has no other. */
const protocols: ReadonlyArray<readonly [string, Options]> = [
  ["gRPC", { apis: ["grpc", "v3"] }],
  ["HTTP v3", { apis: ["v3"] }],
  ["HTTP v1", { apis: ["v1"] }]
]

const users = { admin: ["secret", "rw"], reader: ["secret", "r"] } as const
const login = (user: string, password = "secret") => ({ login: { user, password: Redacted.make(password) } })

const host = (fields: object) => ({
  ip: "10.0.0.1",
  port: 80,
  weight: 1,
  healthy: true,
  enabled: true,
  clusterName: "DEFAULT",
  ...fields
})

/** As somebody else registered it for good. */
const sick = (port: number, healthy: boolean) => ({
  service: "orders",
  instance: { ...host({ port, healthy }), ephemeral: false, metadata: {} }
})

describe("Nacos", () => {
  it.live("F-nacos-a2: over HTTP, a server that only hears renewals and falls silent is left for another one", () =>
    Effect.gen(function* () {
      const servers = [yield* server({ apis: ["v3"] }), yield* server({ apis: ["v3"] })]
      const hosts = servers.flatMap(({ ports }) => ports.map((port) => ({ host: "127.0.0.1", port })))
      yield* Effect.gen(function* () {
        const lease = yield* register(instance(1))
        for (const one of servers) {
          if ((yield* requests(one)).includes("POST /nacos/v3/client/ns/instance")) yield* one.pause
        }
        // As the registrar does: nobody waits for longer than the deadline of a call.
        yield* Effect.retry(Effect.timeout(renew(lease), yield* Policy.CallDeadline), { times: 5 })
      }).pipe(Effect.provide(Nacos.layer({ hosts, protocol: "http" })), Effect.provide(impatient))
    }).pipe(Effect.scoped)
  )

  it.live("F-nacos-a: says of each protocol in a few words why nobody answers", () =>
    withServer(
      Effect.fnUntraced(function* (it) {
        yield* it.kill
        const { reason } = yield* Effect.flip(list)
        const [port = 0] = it.ports
        assert.strictEqual(
          reason.message,
          `connect ECONNREFUSED 127.0.0.1:${port + 1000}; ` +
            `GET http://127.0.0.1:${port}/nacos/v3/client/ns/instance/list: connect ECONNREFUSED 127.0.0.1:${port}`
        )
      })
    )
  )

  for (const [name, options] of protocols) {
    it.live(`F-nacos-a, F-nacos-b: over ${name}, goes on once the server is back, which lost everything`, () =>
      withServer(
        Effect.fnUntraced(function* (it) {
          const lease = yield* register(instance(1))
          const queue = yield* watch(orders)
          const step = DiscoveryState.step(yield* Policy.MassRemoval)
          const live = step(DiscoveryState.initial, { ...(yield* reset(queue)), at: 0 })
          yield* it.kill
          yield* fails(Effect.forever(Queue.take(queue)), "Unavailable", /./)
          for (const call of calls(lease)) yield* fails(call, "Unavailable", /ECONNREFUSED/)
          yield* it.start
          const [took] = yield* OwnTime.timed(
            Effect.retry(renew(lease).pipe(Effect.catch(() => register(instance(1)))), Schedule.spaced("50 millis"))
          )
          assert.isBelow(Duration.toMillis(took), 5000)
          yield* eventually(["i-1"])
          // What a server says that has just lost its memory is doubted.
          const held = step(live, { _tag: "Reset", endpoints: [], skipped: [], cursor: (yield* list).cursor, at: 1 })
          assert.isTrue(DiscoveryState.isKnown(held) && Snapshot.size(held.snapshot) === 1)
        }),
        options
      )
    )

    it.live(`F-nacos-a2, F-nacos-d: over ${name}, a silent server is noticed, and no call outlasts its deadline`, () =>
      withServer(
        Effect.fnUntraced(function* (it) {
          const lease = yield* register(instance(1))
          const queue = yield* watch(orders)
          yield* reset(queue)
          yield* it.pause
          const [silence] = yield* OwnTime.timed(
            fails(Effect.forever(Queue.take(queue)), "TimedOut", /no (server )?answer/)
          )
          assert.isBelow(Duration.toMillis(silence), 6500)
          for (const call of calls(lease)) {
            const [took, error] = yield* OwnTime.timed(Effect.flip(call))
            assert.isTrue(error.isTransient, error.message)
            assert.isBelow(Duration.toMillis(took), 5000)
          }
          yield* it.resume
          yield* Effect.retry(
            renew(lease).pipe(Effect.catch(() => register(instance(1)))),
            Schedule.spaced("50 millis")
          )
          yield* eventually(["i-1"])
        }),
        options,
        {},
        impatient
      )
    )

    it.live(`F-nacos-c: over ${name}, a server that forgot everything says EntryMissing, and we register again`, () =>
      withServer(
        Effect.fnUntraced(function* (it) {
          const lease = yield* register(instance(1))
          const queue = yield* watch(orders)
          yield* reset(queue)
          yield* it.control("forget")
          yield* takeUntil([], reset(queue))
          yield* fails(renew(lease), "EntryMissing", /register again/)
          yield* renew(yield* register(instance(1)))
          yield* takeUntil(["i-1"], reset(queue))
        }),
        options
      )
    )

    it.live(
      `F-nacos-e, F-nacos-o: over ${name}, errors and slowness of the server are transient, and calls do not pile up`,
      () =>
        withServer(
          Effect.fnUntraced(function* (it) {
            const lease = yield* register(instance(1))
            yield* it.faults({ answer: [500, "The Raft Group [naming] did not find the Leader node"] })
            for (const call of calls(lease)) {
              const error = yield* fails(call, "Unavailable", /did not find the Leader/)
              assert.isTrue(error.isTransient)
            }
            yield* it.faults({ delay: 9000 })
            yield* requests(it)
            const [took] = yield* OwnTime.timed(fails(renew(lease), "TimedOut", /no (server )?answer/))
            assert.isBelow(Duration.toMillis(took), 4000)
            yield* renewManyInVain(lease)
            assert.isBelow((yield* requests(it)).length, 200)
            yield* it.faults({})
            yield* Effect.retry(renew(lease), Schedule.spaced("50 millis"))
          }),
          options,
          {},
          impatient
        )
    )

    it.live(
      `F-nacos-g: over ${name}, logs in, logs in again when the token is over or refused, and tells what is wrong`,
      () =>
        Effect.gen(function* () {
          const it = yield* server({ ...options, users, tokenTtl: 1 })
          yield* Effect.gen(function* () {
            const lease = yield* register(instance(1))
            yield* it.control("revoke")
            assert.deepStrictEqual(ids(yield* list), ["i-1"])
            yield* Effect.sleep("1200 millis")
            yield* renew(lease)
            assert.deepStrictEqual(ids(yield* list), ["i-1"])
          }).pipe(Effect.provide(nacos(it, login("admin"))))
          for (const who of [login("admin", "wrong"), login("nobody")]) {
            const error = yield* Effect.provide(fails(list, "Unauthenticated", /give the right name/), nacos(it, who))
            assert.isFalse(error.isTransient)
          }
          yield* Effect.gen(function* () {
            yield* list
            yield* fails(register(instance(2)), "PermissionDenied", /needs "w" on public:DEFAULT_GROUP:naming\/\*/)
          }).pipe(Effect.provide(nacos(it, login("reader"))))
          yield* Effect.provide(fails(list, "PermissionDenied", /needs "r"/), nacos(it))
        })
    )

    it.live(
      `F-nacos-m: over ${name}, of two processes that claim an id the later one counts, and the earlier one is told`,
      () =>
        Effect.gen(function* () {
          const it = yield* server(options)
          const older = instance(1, { startedAt: 1000 })
          const newer = instance(2, { id: older.id, startedAt: 2000 })
          const other = Layer.build(nacos(it))
          yield* Effect.gen(function* () {
            const lease = yield* register(older)
            yield* Effect.gen(function* () {
              yield* renew(yield* register(newer))
              assert.deepStrictEqual(
                (yield* list).endpoints.map(({ address }) => address),
                [newer.address]
              )
            }).pipe(Effect.provide(yield* other))
            yield* Effect.sleep("150 millis")
            yield* fails(renew(lease), "Superseded", /started later/)
            yield* fails(register(older), "Superseded", /started later/)
          }).pipe(Effect.provide(nacos(it)))
        })
    )
  }

  it.live("registers again at once when the connection is lost, and is not missed when it is asked to move", () =>
    withServer(
      Effect.fnUntraced(function* (it) {
        const observer = yield* Layer.build(nacos(it, { protocol: "http" }))
        yield* register(instance(1))
        yield* register(instance(2))
        yield* it.control("kick")
        const [took] = yield* OwnTime.timed(eventually(["i-1", "i-2"]).pipe(Effect.provide(observer)))
        assert.isBelow(Duration.toMillis(took), 2000)
        const missed = Effect.repeat(list, { until: (found) => ids(found).length < 2 }).pipe(Effect.provide(observer))
        yield* requests(it)
        yield* it.control("move")
        const moved = Effect.andThen(
          Effect.repeat(requests(it), { until: (all) => all.some((one) => one.includes("BatchInstanceRequest")) }),
          Effect.repeat(it.control("connections"), { until: (count) => count === "1" })
        )
        const isMissed = yield* Effect.raceFirst(Effect.as(missed, true), Effect.as(moved, false))
        assert.isFalse(isMissed)
        assert.deepStrictEqual(ids(yield* Effect.provide(list, observer)), ["i-1", "i-2"])
      }),
      { servers: 2 }
    )
  )

  it.live("F-nacos-h: deregisters what is never renewed, although the connection lives", () =>
    withServer(() =>
      Effect.gen(function* () {
        const registry = yield* Registry.Registry
        yield* registry.register(instance(1), Duration.millis(300))
        assert.deepStrictEqual(ids(yield* list), ["i-1"])
        yield* eventually([])
      })
    )
  )

  for (const [name, options] of protocols) {
    it.live(`F-nacos-h: over ${name}, a lease that runs out while it is updated leaves no instance behind`, () =>
      withServer(
        Effect.fnUntraced(function* (it) {
          const registry = yield* Registry.Registry
          const lease = yield* registry.register(instance(1), Duration.millis(300))
          yield* it.faults({ delay: 400 })
          yield* fails(registry.update(lease, instance(1, { weight: 5 })), "LeaseLost", /register again/)
          yield* it.faults({})
          yield* eventually([])
        }),
        options
      )
    )
  }

  for (const [name, options] of protocols) {
    it.live(`F-nacos-e: over ${name}, what could not be withdrawn is not taken for withdrawn, and is asked again`, () =>
      Effect.gen(function* () {
        const it = yield* server(options)
        for (const ephemeral of [true, false]) {
          yield* Effect.gen(function* () {
            const lease = yield* register(instance(1))
            yield* it.faults({ answer: [500, "The Raft Group [naming] did not find the Leader node"] })
            yield* fails(revoke(lease), "Unavailable", /did not find the Leader/)
            yield* fails(revoke(lease), "Unavailable", /did not find the Leader/)
            yield* it.faults({})
            yield* fails(renew(lease), "LeaseLost", /register again/)
            assert.deepStrictEqual(ids(yield* list), ["i-1"])
            yield* revoke(lease)
            assert.deepStrictEqual(ids(yield* list), [])
            yield* revoke(lease)
          }).pipe(Effect.provide(nacos(it, { ephemeral })))
        }
      })
    )
  }

  for (const [name, options] of protocols) {
    it.live(`over ${name}, shows that an instance leaves although somebody had edited it in the console`, () =>
      withServer(
        Effect.fnUntraced(function* (it) {
          const registry = yield* Registry.Registry
          const lease = yield* register(instance(1))
          yield* it.control("edit", JSON.stringify({ service: orders, id: "i-1", metadata: { team: "x" } }))
          const edited = instance(1, { metadata: { team: "x" } })
          assert.deepStrictEqual((yield* list).endpoints, [edited])
          yield* registry.update(lease, instance(1).asDraining())
          assert.deepStrictEqual((yield* list).endpoints, [edited.asDraining()])
          yield* renew(lease)
          yield* revoke(lease)
          assert.deepStrictEqual((yield* list).endpoints, [])
        }),
        options
      )
    )

    it.live(`over ${name}, is taken with a time to live that is shorter than the interval of Nacos's own beats`, () =>
      withServer(
        Effect.fnUntraced(function* () {
          const registry = yield* Registry.Registry
          for (const ttl of [4999.5, 2000]) {
            const lease = yield* registry.register(instance(1), Duration.millis(ttl))
            assert.deepStrictEqual((yield* list).endpoints, [instance(1)])
            yield* revoke(lease)
          }
        }),
        options
      )
    )
  }

  it.live("starts, and goes on, with the servers that answer", () =>
    Effect.gen(function* () {
      const it = yield* server()
      const dead = { host: "127.0.0.1", port: 9 }
      const hosts = [dead, { host: "127.0.0.1", port: it.ports[0] ?? 0 }, dead]
      for (let n = 0; n < 5; n++)
        assert.deepStrictEqual((yield* Effect.provide(list, nacos(it, { hosts }))).endpoints, [])
    })
  )

  for (const status of [429, 502, 503]) {
    it.live(`F-nacos-e: a proxy that answers ${status} does not decide which API a server has`, () =>
      withServer(
        Effect.fnUntraced(function* (it) {
          yield* it.faults({ answer: [status, "no server is ready"] })
          yield* fails(list, "Unavailable", new RegExp(`answered ${status}`))
          yield* it.faults({})
          assert.deepStrictEqual((yield* list).endpoints, [])
        }),
        { apis: ["v1"] }
      )
    )
  }

  it.live("finds out anew which API a server has when the one it had is gone", () =>
    withServer(
      Effect.fnUntraced(function* (it) {
        const lease = yield* register(instance(1))
        yield* it.faults({ apis: ["v1"] })
        const error = yield* fails(renew(lease), "Unavailable", /404/)
        assert.isTrue(error.isTransient)
        yield* Effect.retry(renew(lease), Schedule.spaced("50 millis"))
        assert.deepStrictEqual(ids(yield* list), ["i-1"])
      }),
      { apis: ["v3"] }
    )
  )

  it.live("a connection that the server does not know (any more) is replaced", () =>
    withServer(
      Effect.fnUntraced(function* (it) {
        const lease = yield* register(instance(1))
        const queue = yield* watch(orders)
        yield* reset(queue)
        yield* it.faults({ unregistered: true })
        yield* fails(Effect.forever(Queue.take(queue)), "Unavailable", /unregistered|does not know our connection/)
        yield* it.faults({})
        yield* Effect.retry(renew(lease), Schedule.spaced("50 millis"))
        yield* eventually(["i-1"])
      }),
      {},
      { protocol: "grpc" }
    )
  )

  it.live("answers the pings and the pushes of the server, also of one that does not acknowledge connections", () =>
    withServer(
      Effect.fnUntraced(function* (it) {
        const queue = yield* watch(orders)
        yield* reset(queue)
        yield* register(instance(1))
        yield* takeUntil(["i-1"], reset(queue))
        // There is one push; what is answered after that is a ping.
        yield* Effect.repeat(it.control("acknowledged"), { until: (count) => Number(count) >= 2 })
        assert.strictEqual(yield* it.control("connections"), "1")
        assert.deepStrictEqual(ids(yield* list), ["i-1"])
      }),
      { old: true, idleAfter: 150 }
    )
  )

  it.live("tells a push within a second, and none that is older than what it told", () =>
    withServer(
      Effect.fnUntraced(function* (it) {
        const queue = yield* watch(orders)
        yield* reset(queue)
        const [took] = yield* OwnTime.timed(Effect.andThen(register(instance(1)), takeUntil(["i-1"], reset(queue))))
        assert.isBelow(Duration.toMillis(took), 1000)
        yield* it.faults({ groupedNames: true })
        yield* Effect.andThen(register(instance(2)), takeUntil(["i-1", "i-2"], reset(queue)))
        yield* it.faults({ pushedAt: 1, hosts: [] })
        yield* Effect.sleep("700 millis")
        assert.strictEqual(yield* Queue.size(queue), 0)
      }),
      { pushDelay: 500 }
    )
  )

  it.live("F-nacos-i: reads what others registered in any cluster, and skips what cannot be dialled", () =>
    withServer(
      Effect.fnUntraced(function* (it) {
        yield* it.faults({
          hosts: [
            host({ weight: 0, metadata: { zone: "eu", version: "2", team: "x", "preserved.x": "y" } }),
            host({ ip: "10.0.0.2", weight: 2.5, clusterName: "other", metadata: null }),
            host({ ip: "10.0.0.3", weight: "NaN" }),
            host({ ip: "10.0.0.4", enabled: false }),
            host({ ip: "10.0.0.5", healthy: false }),
            host({ ip: "10.0.0.6", port: 0 }),
            host({ ip: "" }),
            { port: 1 },
            "text",
            null
          ]
        })
        const { endpoints, skipped } = yield* list
        assert.deepStrictEqual(endpoints[0]?.metadata, { team: "x" })
        assert.deepStrictEqual(
          endpoints.map(({ address, version, weight, zone }) => [address, weight, zone, version]),
          [
            ["10.0.0.1:80", 0, "eu", "2"],
            ["10.0.0.2:80", 2.5, undefined, undefined]
          ]
        )
        assert.deepStrictEqual(
          skipped.map(({ key }) => key),
          ["orders/10.0.0.3:80", "orders/10.0.0.6:0", "orders/:80", "orders/?", "orders/?", "orders/?"]
        )
      })
    )
  )

  it.live("takes the weight and the metadata that an operator changed in the console", () =>
    withServer(
      Effect.fnUntraced(function* (it) {
        const endpoint = instance(1, { metadata: { team: "x" }, zone: "eu", startedAt: 5 })
        const muster = JSON.stringify({ ...endpoint, metadata: {} })
        const metadata = { "muster-id": "i-1", muster, team: "y", added: "z" }
        yield* it.faults({ hosts: [host({ ip: endpoint.host, port: endpoint.port, weight: 0.25, metadata })] })
        assert.deepStrictEqual((yield* list).endpoints, [
          new Endpoint.Endpoint({ ...endpoint, weight: 0.25, metadata: { team: "y", added: "z" } })
        ])
      })
    )
  )

  for (const [name, options, client] of [
    ["gRPC", { apis: ["grpc", "v3"] }, {}],
    ["HTTP, where it is persistent,", { apis: ["v3"] }, { ephemeral: false }]
  ] satisfies ReadonlyArray<readonly [string, Options, Nacos.Options]>) {
    it.live(`over ${name} an instance that an operator disabled is missed once, and stays registered`, () =>
      withServer(
        Effect.fnUntraced(function* (it) {
          const lease = yield* register(instance(1))
          yield* it.faults({ disabled: ["i-1"] })
          yield* eventually([])
          yield* fails(renew(lease), "EntryMissing", /or disabled it/)
          const again = yield* register(instance(1))
          yield* renew(again)
          yield* renew(again)
          assert.deepStrictEqual(ids(yield* list), [])
          yield* it.faults({})
          yield* eventually(["i-1"])
          yield* renew(again)
          yield* it.control("forget")
          yield* fails(Effect.forever(renew(again)), "EntryMissing", /register again/)
        }),
        options,
        client
      )
    )
  }

  it.live("F-nacos-j: believes what the protect threshold makes of unhealthy instances", () =>
    withServer(
      Effect.fnUntraced(function* (it) {
        yield* it.control("fill", JSON.stringify({ all: [sick(80, true), sick(81, false), sick(82, false)] }))
        assert.strictEqual((yield* list).endpoints.length, 3)
        yield* it.control("fill", JSON.stringify({ all: [sick(81, true)] }))
        assert.strictEqual((yield* list).endpoints.length, 2)
      }),
      { threshold: 0.5 }
    )
  )

  for (const [name, options] of protocols) {
    it.live(`over ${name}, an ephemeral instance is gone with its process or soon after, a persistent one stays`, () =>
      Effect.gen(function* () {
        const it = yield* server(options)
        const scope = yield* Scope.make()
        yield* Effect.provide(register(instance(1)), yield* Layer.buildWithScope(nacos(it), scope))
        yield* Effect.provide(
          register(instance(2)),
          yield* Layer.buildWithScope(nacos(it, { ephemeral: false }), scope)
        )
        yield* Effect.gen(function* () {
          assert.deepStrictEqual(ids(yield* list), ["i-1", "i-2"])
          yield* Scope.close(scope, Exit.void)
          if (name === "gRPC") yield* eventually(["i-2"])
          else assert.deepStrictEqual(ids(yield* list), ["i-1", "i-2"])
        }).pipe(Effect.provide(nacos(it)))
        yield* Effect.gen(function* () {
          const lease = yield* register(instance(3))
          yield* renew(lease)
          yield* eventually(name === "gRPC" ? ["i-2", "i-3"] : ["i-1", "i-2", "i-3"])
        }).pipe(Effect.provide(nacos(it, { ephemeral: false })))
      })
    )
  }

  it.live("speaks TLS over both protocols, and refuses a server it has no reason to trust", () =>
    Effect.gen(function* () {
      const tls = yield* certificate(yield* temporary)
      for (const options of [{}, { apis: ["v3"] }] satisfies ReadonlyArray<Options>) {
        const it = yield* server({ ...options, tls })
        yield* Effect.gen(function* () {
          yield* renew(yield* register(instance(1)))
          assert.deepStrictEqual(ids(yield* list), ["i-1"])
        }).pipe(Effect.provide(nacos(it, { tls: { ca: tls.ca } })))
        yield* Effect.provide(fails(list, "Untrusted", /certificate/), nacos(it, { tls: {} }))
        yield* Effect.provide(fails(list, "Untrusted", /cannot read .*missing/), nacos(it, { tls: { ca: "missing" } }))
      }
    })
  )

  for (const [protocol, tag] of [
    ["grpc", "Untrusted"],
    ["http", "Unavailable"]
  ] as const) {
    it.live(
      `F-nacos-g: a key of another certificate, while they are replaced, costs a call over ${protocol} alone`,
      () =>
        Effect.gen(function* () {
          const tls = yield* certificate(yield* temporary)
          const others = yield* certificate(yield* temporary)
          const it = yield* server({ tls })
          const own = readFileSync(tls.key)
          yield* Effect.gen(function* () {
            copyFileSync(others.key, tls.key)
            for (const call of calls()) yield* fails(call, tag, /the certificates: .*key values mismatch/)
            writeFileSync(tls.key, own)
            assert.deepStrictEqual(ids(yield* list), [])
          }).pipe(Effect.provide(nacos(it, { tls, protocol })))
        })
    )
  }

  it.live("asks in its namespace and group, registers in its cluster, and makes the documented requests alone", () =>
    Effect.gen(function* () {
      for (const [options, expected] of [
        [
          { apis: ["grpc"] },
          [
            "BatchInstanceRequest",
            "HealthCheckRequest",
            "InstanceRequest deregisterInstance",
            "InstanceRequest registerInstance",
            "ServerCheckRequest",
            "ServiceQueryRequest",
            "SubscribeServiceRequest"
          ]
        ],
        [
          { apis: ["v3"] },
          [
            "DELETE /nacos/v3/client/ns/instance",
            "GET /nacos/v3/client/ns/instance/list",
            "POST /nacos/v3/client/ns/instance",
            "POST /nacos/v3/client/ns/instance?heartBeat=true"
          ]
        ],
        [
          { apis: ["v1"] },
          [
            "DELETE /nacos/v1/ns/instance",
            "GET /nacos/v1/ns/instance/list",
            "GET /nacos/v3/client/ns/instance/list",
            "POST /nacos/v1/ns/instance",
            "PUT /nacos/v1/ns/instance/beat"
          ]
        ]
      ] satisfies ReadonlyArray<readonly [Options, ReadonlyArray<string>]>) {
        const it = yield* server(options)
        yield* Effect.gen(function* () {
          yield* Effect.scoped(Effect.flatMap(watch(orders), reset))
          const lease = yield* register(instance(1))
          const other = yield* register(instance(2))
          yield* renew(lease)
          assert.deepStrictEqual(ids(yield* list), ["i-1", "i-2"])
          yield* revoke(other)
          yield* revoke(lease)
          yield* eventually([])
        }).pipe(Effect.provide(nacos(it, { namespace: "n", group: "g", cluster: "c" })))
        assert.deepStrictEqual([...new Set(yield* requests(it))].toSorted(), expected)
      }
    })
  )

  it.live("takes its options from configuration, and only the protocol that was asked for", () =>
    Effect.gen(function* () {
      const it = yield* server({ users: { admin: ["secret", "rw"] } })
      const settings = ConfigProvider.layer(
        ConfigProvider.fromUnknown({ PORT: it.ports[0], USER: "admin", PASSWORD: "secret" })
      )
      const configured = Nacos.layerConfig({
        hosts: Config.map(Config.Port("PORT"), (port) => [{ host: "127.0.0.1", port }]),
        protocol: Config.succeed("http" as const),
        login: { user: Config.String("USER"), password: Config.Redacted("PASSWORD") }
      }).pipe(Layer.provide(settings))
      yield* Effect.provide(register(instance(1)), configured)
      assert.isTrue((yield* requests(it)).every((request) => request.includes("/")))
    })
  )
})
