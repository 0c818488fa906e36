import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { RegistryError } from "@muster/core"
import type { Connection } from "../src/internal/nacos/connection.ts"
import * as Registration from "../src/internal/nacos/registration.ts"
import type { Session } from "../src/internal/nacos/session.ts"
import * as Wire from "../src/internal/nacos/wire.ts"
import { fails } from "./fixtures/steps.ts"
import { wallClockOffBy } from "./fixtures/wallClock.ts"
import { instance } from "./RegistryContract.ts"

const place: Wire.Place = { namespace: "public", group: "DEFAULT_GROUP", cluster: "DEFAULT", ephemeral: true }
const ttl = Duration.seconds(10)

const failure = (key: string, reason: RegistryError.RegistryErrorReason) =>
  new RegistryError.RegistryError({ registry: "nacos://scripted", key, reason })

/** The write port over a session whose server is a map, and only a listing tells what it knows, as over gRPC. */
const make = Effect.gen(function* () {
  const hosts = new Map<string, Wire.Instance>()
  const faults = { drop: false, slow: false }
  const slowly = Effect.delay(Effect.fail(new RegistryError.Unavailable({ message: "no answer" })), "11 seconds")
  const session: Session = {
    name: "scripted",
    put: (_, one) => (faults.slow ? slowly : Effect.sync(() => void hosts.set(Wire.addressOf(one), one))),
    drop: (_, one) =>
      faults.drop
        ? new RegistryError.Unavailable({ message: "no leader" })
        : faults.slow
          ? slowly
          : Effect.sync(() => void hosts.delete(Wire.addressOf(one))),
    beat: () => Effect.undefined,
    list: () => Effect.sync(() => ({ hosts: [...hosts.values()] })),
    watch: () => Stream.never,
    closed: Effect.never
  }
  const connection: Connection = {
    wanted: new Map(),
    failure,
    use: (key, f) => Effect.mapError(f(session), (reason) => failure(key, reason)),
    beat: () => Effect.undefined,
    watch: () => Stream.never
  }
  return { hosts, faults, ids: () => idsOf(hosts), ...(yield* Registration.make(connection, place)) }
})

/** What the server keeps, by the ids and the ports. */
const idsOf = (hosts: ReadonlyMap<string, Wire.Instance>) =>
  [...hosts.values()].map(({ metadata, port }) => `${metadata["muster-id"]}:${port}`)

describe("the leases of Nacos", () => {
  it.effect("F-c3: a renewal asks the server, although the wall clock was set back by an hour", () =>
    Effect.gen(function* () {
      let offset = 0
      yield* Effect.gen(function* () {
        const { hosts, register, renew } = yield* make
        const lease = yield* register(instance(1), ttl)
        yield* TestClock.adjust("2 seconds")
        yield* renew(lease)
        offset = -3_600_000
        hosts.clear()
        yield* TestClock.adjust("2 seconds")
        yield* fails(renew(lease), "EntryMissing", /register again/)
      }).pipe(Effect.provideService(Clock.Clock, yield* wallClockOffBy(() => offset)))
    })
  )

  it.effect("F-nacos-e, F-nacos-h: what runs out while the server fails is withdrawn once it does not", () =>
    Effect.gen(function* () {
      const { faults, ids, register, renew, revoke } = yield* make
      const lease = yield* register(instance(1), ttl)
      faults.drop = true
      yield* TestClock.adjust("11 seconds")
      yield* fails(renew(lease), "LeaseLost", /register again/)
      assert.deepStrictEqual(ids(), ["i-1:2"])
      faults.drop = false
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(ids(), [])
      yield* revoke(lease)
    })
  )

  it.effect("F-nacos-m: who is superseded withdraws, although the renewal that found it out is given up", () =>
    Effect.gen(function* () {
      const { faults, hosts, ids, register, renew } = yield* make
      const lease = yield* register(instance(1), Duration.minutes(5))
      const later = Wire.instance(instance(1, { port: 9, startedAt: instance(1).startedAt + 1 }), place, ttl)
      hosts.set(Wire.addressOf(later), later)
      faults.slow = true
      yield* TestClock.adjust("2 seconds")
      const renewal = yield* Effect.forkChild(Effect.exit(renew(lease)))
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.interrupt(renewal)
      faults.slow = false
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(ids(), ["i-1:9"])
    })
  )

  it.effect("F-nacos-h: a lease that runs out during an update that fails leaves no instance behind", () =>
    Effect.gen(function* () {
      const { faults, ids, register, update } = yield* make
      const lease = yield* register(instance(1), ttl)
      faults.slow = true
      const updating = yield* Effect.forkChild(Effect.exit(update(lease, instance(1, { weight: 2 }))))
      yield* TestClock.adjust("10500 millis")
      faults.slow = false
      yield* TestClock.adjust("20 seconds")
      yield* Fiber.join(updating)
      assert.deepStrictEqual(ids(), [])
    })
  )

  it.effect("F-nacos-e: what is registered again is not withdrawn with the lease that ran out before", () =>
    Effect.gen(function* () {
      const { faults, ids, register, renew } = yield* make
      yield* register(instance(1), ttl)
      faults.drop = true
      yield* TestClock.adjust("11 seconds")
      const again = yield* register(instance(1), ttl)
      faults.drop = false
      yield* TestClock.adjust("5 seconds")
      yield* renew(again)
      assert.deepStrictEqual(ids(), ["i-1:2"])
    })
  )

  it.effect("F-nacos-e: an address that is left for another one while the server fails is withdrawn later", () =>
    Effect.gen(function* () {
      const { faults, ids, register, update } = yield* make
      const lease = yield* register(instance(1), Duration.minutes(1))
      faults.drop = true
      yield* TestClock.adjust("2 seconds")
      yield* update(lease, instance(1, { port: 9001 }))
      yield* register(instance(1, { port: 9002 }), Duration.minutes(1))
      assert.deepStrictEqual(ids(), ["i-1:2", "i-1:9001", "i-1:9002"])
      faults.drop = false
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(ids(), ["i-1:9002"])
    })
  )
})
