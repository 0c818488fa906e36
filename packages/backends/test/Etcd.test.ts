import { Array, Context, Duration, Effect, Layer } from "effect"
import { describe } from "@effect/vitest"
import type { Etcd3 } from "etcd3"
import { Policy } from "@muster/core"
import * as Etcd from "@muster/backends/Etcd"
import * as EtcdServer from "./fixtures/EtcdServer.ts"
import { suite } from "./RegistryContract.ts"

/** The hand of the operator in the registry under test. */
class Operator extends Context.Service<Operator, Etcd3>()("test/Operator") {}

const act = <A>(f: (client: Etcd3) => PromiseLike<A>) =>
  Effect.asVoid(Operator.use((client) => Effect.promise(() => f(client))))

describe.skipIf(EtcdServer.isMissing)("etcd", () => {
  const policies = Layer.mergeAll(
    // A full read after a resume is legal anywhere, and told by a test of its own.
    Layer.succeed(Policy.Spread, Duration.hours(1)),
    Layer.succeed(Policy.RegisterRate, { perSecond: 1e6, burst: 1e6 })
  )
  const layer = Layer.unwrap(
    Effect.gen(function* () {
      const { address } = yield* EtcdServer.make()
      const operator = yield* EtcdServer.operator([address])
      return Layer.merge(Etcd.layer({ hosts: [address] }), Layer.succeed(Operator, operator))
    })
  ).pipe(Layer.provide(policies))

  suite("Etcd", layer, {
    clock: "live",
    ttl: Duration.seconds(2),
    slack: Duration.seconds(2),
    write: (service, id, text) => act((client) => client.put(`muster/${service}/${id}`).value(text)),
    remove: (service, id) => act((client) => client.delete().key(`muster/${service}/${id}`)),
    fill: (endpoints, ttl) =>
      act(async (client) => {
        for (const some of Array.chunksOf(endpoints, 100)) {
          const granted = await Promise.all(
            some.map(() => client.leaseClient.leaseGrant({ TTL: Duration.toSeconds(ttl) }))
          )
          const success = some.map((endpoint, n) => ({
            request_put: {
              key: Buffer.from(`muster/${endpoint.service}/${endpoint.id}`),
              value: Buffer.from(JSON.stringify(endpoint)),
              lease: granted[n]?.ID ?? "0"
            }
          }))
          await client.kv.txn({ success })
        }
      })
  })
})
