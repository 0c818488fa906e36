import { assert, describe, it } from "@effect/vitest"
import { Array, Config, ConfigProvider, Duration, Effect, Layer, Queue, Redacted, type Scope } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { join } from "node:path"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { DiscoveryState, Endpoint, Policy, Registry, type Resolver, Snapshot } from "@muster/core"
import * as Consul from "@muster/backends/Consul"
import type { Faults, Options } from "./fixtures/consulAgent.ts"
import { certificate, temporary } from "./fixtures/files.ts"
import * as OwnTime from "./fixtures/ownTime.ts"
import * as Program from "./fixtures/Program.ts"
import { calls, eventually, fails, ids, list, register, renew, renewManyInVain, takeUntil } from "./fixtures/steps.ts"
import { instance, orders, reset, watch } from "./RegistryContract.ts"

const agent = (options: Options = {}) => Program.make<Options, Faults>("./consulAgent.ts", options)
type Agent = Effect.Success<ReturnType<typeof agent>>

/** A slow machine is no fault. */
const patient = Layer.succeed(Policy.CallDeadline, Duration.seconds(15))
/** For what is about the time that a fault takes to be noticed. */
const impatient = Layer.mergeAll(
  Layer.succeed(Policy.Heartbeat, Duration.millis(500)),
  Layer.succeed(Policy.CallDeadline, Duration.seconds(1))
)
/** For what is about what is noticed from one heartbeat to the next. */
const attentive = Layer.merge(patient, Layer.succeed(Policy.Heartbeat, Duration.millis(500)))
const consul = (to: Agent, options: Consul.Options = {}, n = 0, patience: Layer.Layer<never> = patient) =>
  Consul.layer({ agent: { host: "127.0.0.1", port: to.ports[n] ?? 0 }, ...options }).pipe(Layer.provide(patience))

/** One agent with faults and a client of it. */
const withAgent = <A, E>(
  body: (agent: Agent) => Effect.Effect<A, E, Registry.Registry | Resolver.Resolver | Scope.Scope>,
  options: Options = {},
  client: Consul.Options = {},
  patience?: Layer.Layer<never>
) => Effect.flatMap(agent(options), (it) => Effect.provide(body(it), consul(it, client, 0, patience)))

const requests = (agent: Agent) =>
  Effect.map(agent.control("requests"), (text) => JSON.parse(text) as ReadonlyArray<string>)
describe("Consul", () => {
  it.live("F-consul-a: a watch and every call fail while the agent is down, and go on with its data afterwards", () =>
    Effect.gen(function* () {
      const folder = yield* temporary
      yield* withAgent(
        Effect.fnUntraced(function* (agent) {
          const registry = yield* Registry.Registry
          const lease = yield* register(instance(1))
          const queue = yield* watch(orders)
          yield* reset(queue)
          yield* agent.kill
          yield* fails(Queue.take(queue), "Unavailable", /health/)
          yield* fails(registry.renew(lease), "Unavailable", /ECONNREFUSED/)
          yield* fails(register(instance(2)), "Unavailable", /orders\/i-2: .*ECONNREFUSED/)
          yield* fails(list, "Unavailable", /ECONNREFUSED/)
          yield* agent.start
          // F-consul-b: what it knew is there at once, and the same lease goes on.
          assert.deepStrictEqual(ids(yield* list), ["i-1"])
          yield* registry.renew(lease)
        }),
        { data: join(folder, "consul.json") }
      )
    })
  )

  it.live("F-consul-b: a watch that is opened again misses and doubles nothing over a restart", () =>
    Effect.gen(function* () {
      const folder = yield* temporary
      yield* withAgent(
        Effect.fnUntraced(function* (agent) {
          yield* register(instance(1))
          const { cursor } = yield* list
          yield* register(instance(2))
          yield* agent.kill
          yield* agent.start
          const queue = yield* watch(orders, cursor)
          assert.deepStrictEqual(ids(yield* reset(queue)), ["i-1", "i-2"])
          yield* register(instance(3))
          assert.deepStrictEqual(ids(yield* reset(queue)), ["i-1", "i-2", "i-3"])
        }),
        { data: join(folder, "consul.json") }
      )
    })
  )

  it.live(
    "F-consul-a2, F-consul-d: a silent agent is noticed after two heartbeats, and no call outlasts its deadline",
    () =>
      withAgent(
        Effect.fnUntraced(function* (agent) {
          const lease = yield* register(instance(1))
          const queue = yield* watch(orders)
          yield* reset(queue)
          yield* agent.pause
          const [silence] = yield* OwnTime.timed(fails(Queue.take(queue), "TimedOut", /no answer within 1s/))
          assert.isBelow(Duration.toMillis(silence), 2000)
          for (const call of calls(lease)) {
            const [took] = yield* OwnTime.timed(fails(call, "TimedOut", /no answer within (833ms|1s)/))
            assert.isBelow(Duration.toMillis(took), 2000)
          }
          yield* agent.resume
          yield* renew(lease)
          assert.include<string>(ids(yield* list), "i-1")
        }),
        {},
        {},
        impatient
      )
  )

  it.live(
    "F-consul-c: an agent that forgot everything says EntryMissing, and its empty list is held by the guard",
    () =>
      withAgent(
        Effect.fnUntraced(function* (agent) {
          const leases = yield* Effect.forEach([1, 2, 3, 4], (n) => register(instance(n)))
          const queue = yield* watch(orders)
          const step = DiscoveryState.step(yield* Policy.MassRemoval)
          let state = step(DiscoveryState.initial, { ...(yield* reset(queue)), at: 0 })
          yield* agent.control("forget")
          yield* takeUntil(
            [],
            Effect.tap(reset(queue), (said) => Effect.sync(() => (state = step(state, { ...said, at: 1 }))))
          )
          assert.isTrue(DiscoveryState.isKnown(state) && Snapshot.size(state.snapshot) === 4)
          for (const lease of leases) yield* fails(renew(lease), "EntryMissing", /register again/)
          yield* Effect.forEach([1, 2, 3, 4], (n) => register(instance(n)))
          yield* eventually(["i-1", "i-2", "i-3", "i-4"])
        })
      )
  )

  it.live("F-consul-c: starts over when the index goes back, and does not wait behind the old one", () =>
    Effect.gen(function* () {
      const it = yield* agent()
      yield* Effect.gen(function* () {
        yield* it.control("index", "100000")
        yield* register(instance(1))
        const queue = yield* watch(orders)
        yield* reset(queue)
        yield* it.control("forget")
        yield* it.control("index", "20")
        yield* takeUntil([], reset(queue))
        for (const [n, expected] of [
          [2, ["i-2"]],
          [3, ["i-2", "i-3"]]
        ] as const) {
          const [took] = yield* OwnTime.timed(Effect.andThen(register(instance(n)), takeUntil(expected, reset(queue))))
          assert.isBelow(Duration.toMillis(took), 2000)
        }
      }).pipe(Effect.provide(Consul.layer({ agent: { host: "127.0.0.1", port: it.ports[0] ?? 0 } })))
    })
  )

  for (const index of ["0", null, "nonsense"]) {
    it.live(`follows and does not spin when the index is ${index}`, () =>
      withAgent(
        Effect.fnUntraced(function* (agent) {
          yield* register(instance(1))
          yield* agent.faults({ index })
          yield* requests(agent)
          yield* Effect.scoped(Effect.andThen(watch(orders), Effect.sleep("1 seconds")))
          assert.isBelow((yield* requests(agent)).length, 12)
          const queue = yield* watch(orders)
          assert.deepStrictEqual(ids(yield* reset(queue)), ["i-1"])
          yield* register(instance(2))
          yield* takeUntil(["i-1", "i-2"], reset(queue))
        })
      )
    )
  }

  it.live("asks at a steady pace when the index moves all the time", () =>
    withAgent(
      Effect.fnUntraced(function* (agent) {
        yield* register(instance(1))
        yield* agent.faults({ churn: true })
        yield* requests(agent)
        yield* Effect.scoped(Effect.andThen(watch(orders), Effect.sleep("1 seconds")))
        assert.isBelow((yield* requests(agent)).length, 12)
      })
    )
  )

  it.live("tells at once what happens now and then: by the query that is open, and the next one is not paced", () =>
    Effect.gen(function* () {
      const it = yield* agent()
      const patient = Layer.mergeAll(
        Layer.succeed(Policy.Heartbeat, Duration.hours(1)),
        Layer.succeed(Policy.Poll, Duration.hours(1))
      )
      yield* Effect.gen(function* () {
        const queue = yield* watch(orders)
        yield* reset(queue)
        // No wait ends and no pause is over within the hour: each is told by the answer to a query that was open.
        for (const n of [1, 2]) {
          yield* Effect.repeat(requests(it), { until: (asked) => asked.some((one) => one.includes("index=")) })
          yield* register(instance(n))
          assert.strictEqual(ids(yield* reset(queue)).at(-1), `i-${n}`)
        }
        assert.strictEqual(Queue.sizeUnsafe(queue), 0)
      }).pipe(
        Effect.provide(Layer.provide(Consul.layer({ agent: { host: "127.0.0.1", port: it.ports[0] ?? 0 } }), patient))
      )
    })
  )

  it.live("F-consul-e: reads on and registers on without a leader, for as long as the data are not too old", () =>
    withAgent(
      Effect.fnUntraced(function* (agent) {
        const lease = yield* register(instance(1))
        yield* agent.faults({ leaderless: true, lastContact: 100 })
        assert.deepStrictEqual(ids(yield* list), ["i-1"])
        yield* renew(lease)
        yield* register(instance(2))
        yield* agent.faults({ leaderless: true, lastContact: 6001 })
        yield* fails(list, "Unavailable", /not heard of its leader for 6001 ms/)
        yield* agent.faults({ answer: [500, "No cluster leader"] })
        const error = yield* fails(list, "Unavailable", /No cluster leader/)
        assert.isTrue(error.isTransient)
        yield* fails(renew(lease), "Unavailable", /No cluster leader/)
        yield* agent.faults({})
        yield* renew(lease)
      })
    )
  )

  const tokens = {
    good: { write: ["orders"], node: true },
    blind: { write: ["orders"] },
    other: { read: ["bills"], node: true }
  }

  it.live("F-consul-g: tells that a token, perhaps read from a file with the end of its line, cannot be sent", () =>
    Effect.gen(function* () {
      const it = yield* agent({})
      const given = consul(it, { token: Redacted.make("secret\n") })
      for (const call of calls()) {
        yield* fails(call, "Unavailable", /invalid x-consul-token header/).pipe(Effect.provide(given))
      }
    })
  )

  it.live("F-consul-g: tells an unknown token from a missing rule, and names the rule", () =>
    Effect.gen(function* () {
      const it = yield* agent({ tokens })
      const as = (token: string) => consul(it, { token: Redacted.make(token) })
      yield* Effect.gen(function* () {
        for (const call of calls()) {
          const error = yield* fails(call, "Unauthenticated", /ACL not found.*give another/)
          assert.isFalse(error.isTransient)
        }
      }).pipe(Effect.provide(as("deleted")))
      yield* fails(register(instance(1)), "PermissionDenied", /service "orders" \{ policy = "write" \}/).pipe(
        Effect.provide(as("other"))
      )
      yield* Effect.gen(function* () {
        yield* renew(yield* register(instance(1)))
        assert.deepStrictEqual(ids(yield* list), ["i-1"])
      }).pipe(Effect.provide(as("good")))
    })
  )

  it.live("F-consul-g: an answer that ACLs filtered is a refusal, not an empty list", () =>
    Effect.gen(function* () {
      const it = yield* agent({ tokens })
      const as = (token: string | undefined) =>
        consul(it, { token: token === undefined ? undefined : Redacted.make(token) })
      yield* Effect.provide(register(instance(1)), as("good"))
      const rules = /service "orders" \{ policy = "read" \} and node_prefix "" \{ policy = "read" \}/
      for (const token of ["blind", "other", undefined]) {
        yield* Effect.provide(fails(list, "PermissionDenied", rules), as(token))
      }
      yield* Effect.provide(fails(list, "PermissionDenied", /; or give Muster the token itself/), as(undefined))
    })
  )

  for (const [what, left] of [
    ["anything", { read: ["bills"], node: true }],
    ["the nodes", { read: ["orders"] }],
    ["one of the nodes", { read: ["orders"], node: ["node-1"] }]
  ] as const) {
    it.live(
      `F-consul-g: a client whose token may not read ${what} any more is told so, and of nobody that he is gone`,
      () =>
        Effect.gen(function* () {
          const it = yield* agent({ ports: [0, 0], tokens: { ...tokens, client: { read: ["orders"], node: true } } })
          for (const n of [1, 2]) {
            yield* Effect.provide(register(instance(n)), consul(it, { token: Redacted.make("good") }, n - 1))
          }
          yield* Effect.gen(function* () {
            const queue = yield* watch(orders)
            assert.deepStrictEqual(ids(yield* reset(queue)), ["i-1", "i-2"])
            yield* Effect.repeat(requests(it), { until: (asked) => asked.some((one) => one.includes("index=")) })
            yield* it.faults({ tokens: { ...tokens, client: left } })
            yield* fails(Queue.take(queue), "PermissionDenied", /service "orders" \{ policy = "read" \}/)
            yield* it.faults({})
            assert.deepStrictEqual(ids(yield* list), ["i-1", "i-2"])
          }).pipe(Effect.provide(consul(it, { token: Redacted.make("client") })))
        })
    )
  }

  it.live("asks once more before it tells that an instance is gone, and not for any other news", () =>
    withAgent(
      Effect.fnUntraced(function* (agent) {
        const registry = yield* Registry.Registry
        yield* register(instance(1))
        const lease = yield* register(instance(2))
        const queue = yield* watch(orders)
        yield* reset(queue)
        yield* requests(agent)
        const listings = Effect.map(requests(agent), (all) =>
          all.filter((one) => /health\/service\/orders\?/.test(one))
        )
        yield* registry.update(lease, instance(2).asDraining())
        yield* reset(queue)
        assert.isTrue((yield* listings).every((one) => one.includes("index=")))
        yield* registry.revoke(lease)
        assert.deepStrictEqual(ids(yield* reset(queue)), ["i-1"])
        assert.strictEqual((yield* listings).filter((one) => !one.includes("index=")).length, 1)
      })
    )
  )

  it.live("F-consul-h: understands how agents before 1.11 say that they do not know a check", () =>
    withAgent(
      Effect.fnUntraced(function* (agent) {
        const registry = yield* Registry.Registry
        const lease = yield* register(instance(1))
        yield* agent.control("forget")
        yield* fails(registry.renew(lease), "EntryMissing", /register again/)
        yield* registry.revoke(lease)
        yield* registry.renew(yield* register(instance(1)))
      }),
      { old: true }
    )
  )

  it.live("F-consul-i: reads what others registered, and skips what cannot be dialled", () =>
    withAgent(
      Effect.fnUntraced(function* (agent) {
        yield* register(instance(1))
        const node = { Node: "n1", Address: "10.0.0.9" }
        const entry = (ID: string, fields: object) => ({
          Node: node,
          Service: { ID, Service: "orders", ...fields },
          Checks: []
        })
        yield* agent.faults({
          extra: [
            entry("web", {
              Address: "",
              Port: 80,
              Meta: { zone: "eu", version: "2", team: "x" },
              Weights: { Passing: 7, Warning: 1 }
            }),
            entry("bare", { Address: "h", Port: 81, Meta: null, Weights: null }),
            entry("port-0", { Address: "h", Port: 0 }),
            entry("no-port", { Address: "h" }),
            entry("a/b", { Address: "h", Port: 82 }),
            entry("weights", { Address: "h", Port: 83, Weights: { Passing: "many" } }),
            { Node: null },
            "text",
            null
          ]
        })
        const { endpoints, skipped } = yield* list
        const [, web, bare] = endpoints
        assert.deepStrictEqual(
          web,
          new Endpoint.Endpoint({
            service: orders,
            id: Endpoint.InstanceId.make("n1:web"),
            host: "10.0.0.9",
            port: 80,
            weight: 7,
            zone: "eu",
            version: "2",
            metadata: { team: "x" }
          })
        )
        assert.strictEqual(bare?.address, "h:81")
        assert.strictEqual(endpoints.length, 3)
        assert.deepStrictEqual(
          skipped.map(({ key }) => key),
          [
            "orders/n1:port-0",
            "orders/n1:no-port",
            "orders/n1:a/b",
            "orders/weights",
            "orders/?",
            "orders/?",
            "orders/?"
          ]
        )
        yield* agent.faults({ body: "<html>" })
        yield* fails(list, "Unreadable", /<html>/)
      })
    )
  )

  it.live("F-consul-j: a flap of serfHealth empties the list, and the guard holds the instances", () =>
    Effect.gen(function* () {
      const it = yield* agent({ ports: [0, 0] })
      yield* Effect.forEach([1, 2, 3, 4], (n) => register(instance(n))).pipe(Effect.provide(consul(it, {}, 1)))
      yield* Effect.gen(function* () {
        const queue = yield* watch(orders)
        const step = DiscoveryState.step(yield* Policy.MassRemoval)
        const live = step(DiscoveryState.initial, { ...(yield* reset(queue)), at: 0 })
        yield* it.faults({ dead: ["node-2"] })
        const gone = yield* reset(queue)
        assert.deepStrictEqual(ids(gone), [])
        const held = step(live, { ...gone, at: 1 })
        assert.isTrue(DiscoveryState.isKnown(held) && Snapshot.size(held.snapshot) === 4)
        yield* it.faults({})
        assert.strictEqual(ids(yield* reset(queue)).length, 4)
      }).pipe(Effect.provide(consul(it)))
    })
  )

  it.live("F-consul-m: of two agents that know one id, the later claim counts, and the earlier one is told", () =>
    Effect.gen(function* () {
      const it = yield* agent({ ports: [0, 0] })
      const older = instance(1, { startedAt: 1000 })
      const newer = instance(2, { id: older.id, startedAt: 2000 })
      yield* Effect.gen(function* () {
        const lease = yield* register(older)
        yield* Effect.gen(function* () {
          yield* renew(yield* register(newer))
          assert.deepStrictEqual(
            (yield* list).endpoints.map(({ address }) => address),
            [newer.address]
          )
        }).pipe(Effect.provide(consul(it, {}, 1, attentive)))
        yield* Effect.sleep("550 millis")
        yield* fails(renew(lease), "Superseded", /started later/)
        yield* fails(register(older), "Superseded", /started later/)
      }).pipe(Effect.provide(consul(it, {}, 0, attentive)))
    })
  )

  it.live("F-consul-o: a slow agent costs one call after the other its deadline, and calls do not pile up", () =>
    withAgent(
      Effect.fnUntraced(function* (agent) {
        const lease = yield* register(instance(1))
        yield* agent.faults({ delay: 5000 })
        yield* requests(agent)
        for (let n = 0; n < 2; n++) yield* fails(renew(lease), "TimedOut", /no answer within 833ms/)
        yield* fails(list, "TimedOut", /no answer within 1s/)
        assert.strictEqual((yield* requests(agent)).length, 3)
        yield* renewManyInVain(lease)
        assert.isBelow((yield* requests(agent)).length, 200)
      }),
      {},
      {},
      impatient
    )
  )

  it.live(
    "asks in its datacenter, namespace and partition, any server, and nothing else than the documented requests",
    () =>
      withAgent(
        Effect.fnUntraced(function* (agent) {
          const registry = yield* Registry.Registry
          assert.match(registry.registry, /^consul:\/\/127\.0\.0\.1:\d+\?dc=eu&namespace=n&partition=p$/)
          const queue = yield* watch(orders)
          yield* reset(queue)
          const lease = yield* register(instance(1))
          yield* reset(queue)
          yield* registry.renew(lease)
          yield* registry.update(lease, instance(1).asDraining())
          yield* reset(queue)
          yield* registry.revoke(lease)
          assert.deepStrictEqual(ids(yield* reset(queue)), [])
          const asked = new Set(
            (yield* requests(agent)).map((one) => one.replace(/muster-\w+/, "L").replaceAll(/index=\d+/g, "index=I"))
          )
          assert.deepStrictEqual([...asked].toSorted(), [
            "GET /v1/agent/health/service/id/orders:i-1?ns=n&partition=p",
            "GET /v1/health/service/orders?ns=n&partition=p&passing=1&stale=",
            "GET /v1/health/service/orders?ns=n&partition=p&passing=1&stale=&dc=eu",
            "GET /v1/health/service/orders?ns=n&partition=p&passing=1&stale=&dc=eu&index=I&wait=3000ms",
            "PUT /v1/agent/check/pass/L?ns=n&partition=p",
            "PUT /v1/agent/service/deregister/orders:i-1?ns=n&partition=p",
            "PUT /v1/agent/service/register?ns=n&partition=p",
            "PUT /v1/agent/service/register?ns=n&partition=p&replace-existing-checks=true"
          ])
        }),
        {},
        { datacenter: "eu", namespace: "n", partition: "p" }
      )
  )

  it.live("shows metadata, address and weight to Consul's own tools, however much metadata there is", () =>
    withAgent(
      Effect.fnUntraced(function* (agent) {
        const long = "é".repeat(2000)
        const many = Object.fromEntries(Array.makeBy(100, (n) => [`key-${n}`, String(n)]))
        const metadata = {
          team: "x",
          "consul-reserved": "y",
          "not/a key": "z",
          muster: "mine",
          "muster-1": "too",
          long,
          ...many
        }
        const endpoint = instance(1, { id: Endpoint.InstanceId.make("a%2f:~?#b"), weight: 2.4, metadata })
        const lease = yield* register(endpoint)
        assert.deepStrictEqual((yield* list).endpoints, [endpoint])
        const url = `http://127.0.0.1:${agent.ports[0]}/v1/health/service/orders`
        const text = yield* Effect.promise(async () => (await fetch(url)).text())
        for (const shown of ['"Address":"127.0.0.1"', '"Port":2,', '"Passing":2,', '"team":"x"', '"key-9":"9"']) {
          assert.include(text, shown)
        }
        const registry = yield* Registry.Registry
        yield* registry.renew(lease)
        yield* registry.revoke(lease)
        assert.deepStrictEqual((yield* list).endpoints, [])
      })
    )
  )

  it.live("speaks HTTPS both ways, and refuses a server it has no reason to trust", () =>
    Effect.gen(function* () {
      const folder = yield* temporary
      const tls = yield* certificate(folder)
      const it = yield* agent({ tls })
      yield* Effect.gen(function* () {
        yield* renew(yield* register(instance(1)))
        assert.deepStrictEqual(ids(yield* list), ["i-1"])
      }).pipe(Effect.provide(consul(it, { tls })))
      yield* Effect.provide(fails(list, "Untrusted", /certificate/), consul(it, { tls: {} }))
      yield* Effect.provide(
        fails(list, "Unavailable", /cannot read .*missing/),
        consul(it, { tls: { ca: join(folder, "missing") } })
      )
    })
  )

  it.live("takes its options from configuration, and another HttpClient where one is given", () =>
    Effect.gen(function* () {
      const it = yield* agent({ tokens })
      const settings = ConfigProvider.layer(
        ConfigProvider.fromUnknown({ CONSUL_PORT: it.ports[0], CONSUL_TOKEN: "good" })
      )
      const configured = Consul.layerConfig({
        agent: { host: Config.succeed("127.0.0.1"), port: Config.Port("CONSUL_PORT") },
        token: Config.Redacted("CONSUL_TOKEN")
      }).pipe(Layer.provide(settings))
      yield* Effect.provide(register(instance(1)), configured)
      const seen: Array<string> = []
      const own = Layer.effect(
        HttpClient.HttpClient,
        Effect.map(
          HttpClient.HttpClient,
          HttpClient.mapRequest((request) => {
            seen.push(request.url)
            return HttpClientRequest.setHeader(request, "x-consul-token", "good")
          })
        )
      ).pipe(Layer.provide(NodeHttpClient.layerNodeHttp))
      const provided = Layer.provide(Consul.layerNoDeps({ agent: { host: "127.0.0.1", port: it.ports[0] ?? 0 } }), own)
      assert.deepStrictEqual(ids(yield* Effect.provide(list, provided)), ["i-1"])
      assert.isAtLeast(seen.length, 1)
    })
  )
})
