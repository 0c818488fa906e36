/**
 * Zones and subsets from the policies of a client to the instances that its requests reach.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Latch, References, Schedule, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Change, Endpoint, Policy, RegistryError, Resolver } from "@muster/core"
import { Balancer, Discovery } from "@muster/runtime"
import { settle } from "./fixtures/ScriptedResolver.ts"

const orders = Endpoint.ServiceName.make("orders")
const checkout = Endpoint.ServiceName.make("checkout")

const listed = (service: Endpoint.ServiceName, count: number, zoneOf?: (index: number) => string) =>
  Array.from(
    { length: count },
    (_, index) =>
      new Endpoint.Endpoint({
        service,
        id: Endpoint.InstanceId.make(`${service}-${index}`),
        host: "127.0.0.1",
        port: index + 1,
        ...(zoneOf === undefined ? {} : { zone: zoneOf(index) })
      })
  )

/** The ports that 2000 requests of a client with these policies reach. */
const reached = (endpoints: ReadonlyArray<Endpoint.Endpoint>, policies: Layer.Layer<never>) =>
  Effect.gen(function* () {
    const balancer = yield* Balancer.Balancer
    const ask = balancer.use(orders, ({ port }) => Effect.succeed(port))
    yield* ask
    yield* settle
    const ports = yield* Effect.forEach(Array.from({ length: 500 }), () => ask)
    return new Set(ports)
  }).pipe(
    Effect.provide(
      Balancer.layer.pipe(
        Layer.provide(Discovery.layer),
        Layer.provide([
          policies,
          Layer.succeed(Resolver.Resolver, {
            registry: "static:",
            watch: (service) =>
              Stream.concat(
                Stream.make<[Change.Change]>({
                  _tag: "Reset",
                  endpoints: endpoints.filter((endpoint) => endpoint.service === service),
                  cursor: Change.Cursor.make("1"),
                  skipped: []
                }),
                Stream.never
              )
          })
        ])
      )
    )
  )

const subset = (id: string, service?: Endpoint.ServiceName) =>
  Layer.succeed(Policy.Subset, { size: 20, above: 50, client: { id, service } })

const failure = (service: Endpoint.ServiceName) =>
  new RegistryError.RegistryError({
    registry: "unsteady:",
    key: service,
    reason: new RegistryError.Unavailable({ message: "down" })
  })

/** A registry that lists these until its watches are cut, and again unless it is down. */
const unsteady = (endpoints: ReadonlyArray<Endpoint.Endpoint>) => {
  let cut = Latch.makeUnsafe()
  const state = { isDown: (_service: Endpoint.ServiceName) => false }
  return {
    state,
    cut: Effect.suspend(() => {
      const open = cut
      cut = Latch.makeUnsafe()
      return Effect.andThen(open.open, settle)
    }),
    layer: Layer.succeed(Resolver.Resolver, {
      registry: "unsteady:",
      watch: (service) =>
        Stream.suspend(() =>
          state.isDown(service)
            ? Stream.fail(failure(service))
            : Stream.concat(
                Stream.make<[Change.Change]>({
                  _tag: "Reset",
                  endpoints: endpoints.filter((endpoint) => endpoint.service === service),
                  cursor: Change.Cursor.make("1"),
                  skipped: []
                }),
                Stream.fromEffect(Effect.andThen(cut.await, Effect.fail(failure(service))))
              )
        )
    })
  }
}

describe("Zones and subsets", () => {
  it.effect("a client that knows its zone stays there, and one that does not goes everywhere", () =>
    Effect.gen(function* () {
      const endpoints = listed(orders, 9, (index) => ["a", "b", "c"][index % 3])
      const local = yield* reached(endpoints, Layer.succeed(Policy.Zone, "a"))
      assert.deepStrictEqual(local, new Set([1, 4, 7]))
      assert.strictEqual((yield* reached(endpoints, Layer.empty)).size, 9)
    })
  )

  it.effect("registered clients of a large service share it out evenly", () =>
    Effect.gen(function* () {
      const endpoints = [...listed(orders, 60), ...listed(checkout, 6)]
      const sets = yield* Effect.forEach(Array.from({ length: 6 }), (_, index) =>
        reached(endpoints, subset(`checkout-${index}`, checkout))
      )
      const clients = Array.from({ length: 60 }, (_, index) => sets.filter((ports) => ports.has(index + 1)).length)
      assert.deepStrictEqual(new Set(clients), new Set([2]))
    })
  )

  it.effect("a client that is not registered uses as many as it should, and of a small service everybody", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* reached(listed(orders, 60), subset("batch"))).size, 20)
      assert.strictEqual((yield* reached(listed(orders, 60), subset("batch", checkout))).size, 20)
      assert.strictEqual((yield* reached(listed(orders, 49), subset("batch"))).size, 49)
    })
  )

  it.effect(
    "a registry that was given up is asked for the clients too once it answers, and until then they are the same",
    () => {
      const registry = unsteady([...listed(orders, 60), ...listed(checkout, 6)])
      const ends = Layer.succeed(Policy.Rewatch, Schedule.max([Schedule.spaced("1 seconds"), Schedule.recurs(1)]))
      return Effect.gen(function* () {
        const discovery = yield* Discovery.Discovery
        const balancer = yield* Balancer.Balancer
        const ask = balancer.use(orders, ({ port }) => Effect.succeed(port))
        const portsNow = Effect.map(
          Effect.forEach(Array.from({ length: 500 }), () => ask),
          (ports) => new Set(ports)
        )
        const stateOf = (service: Endpoint.ServiceName) => Effect.map(discovery.state(service), ({ _tag }) => _tag)
        yield* ask
        yield* settle
        const before = yield* portsNow
        assert.isBelow(before.size, 20)

        registry.state.isDown = (service) => service === checkout
        yield* registry.cut
        yield* TestClock.adjust("1 seconds")
        yield* TestClock.adjust("1 seconds")
        assert.deepStrictEqual([yield* stateOf(orders), yield* stateOf(checkout)], ["Live", "Failed"])
        assert.deepStrictEqual(yield* portsNow, before)

        registry.state.isDown = () => true
        yield* registry.cut
        yield* TestClock.adjust("1 seconds")
        yield* TestClock.adjust("1 seconds")
        assert.deepStrictEqual([yield* stateOf(orders), yield* stateOf(checkout)], ["Failed", "Failed"])
        registry.state.isDown = () => false
        yield* ask
        yield* settle
        assert.deepStrictEqual([yield* stateOf(orders), yield* stateOf(checkout)], ["Live", "Live"])
        assert.deepStrictEqual(yield* portsNow, before)
      }).pipe(
        Effect.provide(
          Balancer.layer.pipe(
            Layer.provideMerge(Discovery.layer),
            Layer.provide([registry.layer, subset("checkout-0", checkout), ends])
          )
        ),
        Effect.provideService(References.MinimumLogLevel, "None")
      )
    }
  )
})
