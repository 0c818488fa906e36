/**
 * Claims to an instance id, looked for in Consul's catalog: in virtual time, on an agent that takes every write and
 * lists what the test says.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Layer, Schema } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { Endpoint, Policy, Registry } from "@muster/core"
import * as Consul from "@muster/backends/Consul"
import { register, renew, revoke } from "./fixtures/steps.ts"
import { instance, passVirtually as pass, reason, settle } from "./RegistryContract.ts"

/** What is listed, in the datacenter of the agent or in the one that is asked for. */
type Catalog = (datacenter: string | null) => Effect.Effect<ReadonlyArray<Endpoint.Endpoint>>

const silent: Catalog = () => Effect.never

const encode = Schema.encodeSync(Endpoint.EndpointFromJson)

const listed = (endpoint: Endpoint.Endpoint) => ({
  Node: { Node: "another", Address: "127.0.0.1" },
  Service: { ID: `${endpoint.service}:${endpoint.id}`, Meta: { muster: encode(endpoint) } }
})

/** The agent knows no instance itself, so that a claim is found in the catalog or nowhere. */
const agent = (catalog: Catalog) =>
  HttpClient.make((request, { pathname, searchParams }) => {
    const answer = (status: number, body: unknown) =>
      HttpClientResponse.fromWeb(request, new Response(JSON.stringify(body), { status }))
    if (pathname.startsWith("/v1/agent/health/")) return Effect.succeed(answer(404, {}))
    return pathname.startsWith("/v1/agent/")
      ? Effect.succeed(answer(200, ""))
      : Effect.map(catalog(searchParams.get("dc")), (endpoints) => answer(200, endpoints.map(listed)))
  })

const consul = (catalog: Catalog, options: Consul.Options = {}) =>
  Layer.provide(Consul.layerNoDeps(options), Layer.succeed(HttpClient.HttpClient, agent(catalog)))

/** Its outcome, if it has one before virtual time is over. */
const within = <A, E, R>(duration: Duration.Duration, call: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkDetach(call)
    yield* settle
    yield* pass(duration)
    return fiber.pollUnsafe() === undefined ? assert.fail("it has not ended in time") : yield* Fiber.join(fiber)
  })

describe("Consul, claims", () => {
  it.effect("F-consul-e: a catalog that does not answer is noticed within a call, and fails none", () =>
    Effect.gen(function* () {
      const registry = yield* Registry.Registry
      const deadline = yield* Policy.CallDeadline
      const inTime = Duration.times(deadline, 0.9)
      const lease = yield* within(inTime, register(instance(1)))
      for (let n = 0; n < 3; n++) {
        yield* pass(yield* Policy.Heartbeat)
        yield* within(inTime, Effect.timeout(renew(lease), deadline))
      }
      yield* pass(yield* Policy.Heartbeat)
      // Who leaves asks nobody who else is there.
      yield* within(Duration.zero, registry.update(lease, instance(1).asDraining()))
      yield* within(Duration.zero, revoke(lease))
    }).pipe(Effect.provide(consul(silent)))
  )

  it.effect("F-c3: finds a later claim within a heartbeat, whatever becomes of the wall clock meanwhile", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let behind = 0
      const currentTimeMillisUnsafe = () => clock.currentTimeMillisUnsafe() - behind
      const stepped: Clock.Clock = {
        ...clock,
        currentTimeMillisUnsafe,
        currentTimeMillis: Effect.sync(currentTimeMillisUnsafe)
      }
      const older = instance(1, { startedAt: 1000 })
      const newer = instance(2, { id: older.id, startedAt: 2000 })
      let catalog: ReadonlyArray<Endpoint.Endpoint> = []
      yield* Effect.gen(function* () {
        const lease = yield* register(older)
        catalog = [newer]
        behind = Duration.toMillis(Duration.hours(1))
        yield* pass(yield* Policy.Heartbeat)
        assert.strictEqual(yield* reason(renew(lease)), "Superseded")
      }).pipe(Effect.provide(consul(() => Effect.sync(() => catalog))), Effect.provideService(Clock.Clock, stepped))
    })
  )

  it.effect(
    "F-consul-m: registers where the agent is, so nobody in the datacenter that is read claims the same id",
    () =>
      Effect.gen(function* () {
        const older = instance(1, { startedAt: 1000 })
        const newer = instance(2, { id: older.id, startedAt: 2000 })
        let own: ReadonlyArray<Endpoint.Endpoint> = []
        const catalog: Catalog = (datacenter) => Effect.sync(() => (datacenter === "eu" ? [newer] : own))
        yield* Effect.gen(function* () {
          const lease = yield* register(older)
          yield* renew(lease)
          own = [newer]
          yield* pass(yield* Policy.Heartbeat)
          assert.strictEqual(yield* reason(renew(lease)), "Superseded")
        }).pipe(Effect.provide(consul(catalog, { datacenter: "eu" })))
      })
  )
})
