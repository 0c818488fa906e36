import { describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Stream } from "effect"
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
  const session: Session = {
    name: "scripted",
    put: (_, one) => Effect.sync(() => void hosts.set(Wire.addressOf(one), one)),
    drop: (_, one) => Effect.sync(() => void hosts.delete(Wire.addressOf(one))),
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
  return { hosts, ...(yield* Registration.make(connection, place)) }
})

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
})
