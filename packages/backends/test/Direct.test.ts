import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Effect, Layer, Schema } from "effect"
import { Endpoint, Resolver, Target } from "@muster/core"
import * as Direct from "@muster/backends/Direct"
import { orders, reads, reset, watch } from "./RegistryContract.ts"

reads("Direct", (endpoints) => Direct.layer({ addresses: endpoints }))

const addresses = [
  { host: "10.0.0.1", port: 80 },
  { host: "::1", port: 81 },
  { host: "10.0.0.1", port: 80 }
]
const ids = (service: Endpoint.ServiceName) =>
  Effect.map(Effect.scoped(Effect.flatMap(watch(service), reset)), ({ endpoints }) =>
    endpoints.map((endpoint) => `${endpoint.service} ${endpoint.id}`)
  )

describe("Direct", () => {
  it.effect("F-m: lists each address once, under itself as id, for whatever service is asked for", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* ids(orders), ["orders 10.0.0.1:80", "orders [::1]:81"])
      assert.deepStrictEqual(yield* ids(Endpoint.ServiceName.make("bills")), ["bills 10.0.0.1:80", "bills [::1]:81"])
      assert.strictEqual((yield* Resolver.Resolver).registry, "direct:///10.0.0.1:80,[::1]:81")
    }).pipe(Effect.provide(Direct.layer({ addresses })))
  )

  it.effect("takes its addresses from configuration", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* ids(orders), ["orders h:1"])
    }).pipe(
      Effect.provide(
        Direct.layerConfig({ addresses: Config.schema(Schema.Array(Target.Address), "ADDRESSES") }).pipe(
          Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ ADDRESSES: [{ host: "h", port: 1 }] })))
        )
      )
    )
  )
})
