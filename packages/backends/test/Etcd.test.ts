/**
 * The contract of every registry, on etcd: on a server that the tests own, or, with `MUSTER_TEST_ETCD=<host:port,…>`, on
 * a running one of any version, in a prefix of its own that is empty again afterwards.
 */
import { Array, Context, Duration, Effect, Layer, Random } from "effect"
import { describe } from "@effect/vitest"
import type { Etcd3 } from "etcd3"
import { type Endpoint, Policy } from "@muster/core"
import * as Etcd from "@muster/backends/Etcd"
import * as EtcdServer from "./fixtures/EtcdServer.ts"
import { suite } from "./RegistryContract.ts"

const given = process.env["MUSTER_TEST_ETCD"]?.split(",")

/** The hand of the operator in the registry under test. */
class Operator extends Context.Service<Operator, { readonly client: Etcd3; readonly prefix: string }>()(
  "test/Operator"
) {}

const act = <A>(f: (client: Etcd3, key: (service: string, id: string) => string) => PromiseLike<A>) =>
  Effect.asVoid(
    Operator.use(({ client, prefix }) => Effect.promise(() => f(client, (service, id) => `${prefix}/${service}/${id}`)))
  )

const policies = Layer.mergeAll(
  // A full read after a resume is legal anywhere, and told by a test of its own.
  Layer.succeed(Policy.Spread, Duration.hours(1)),
  Layer.succeed(Policy.CallDeadline, Duration.seconds(15)),
  Layer.succeed(Policy.RegisterRate, { perSecond: 1e6, burst: 1e6 })
)

const layer = Layer.unwrap(
  Effect.gen(function* () {
    const hosts = given ?? [(yield* EtcdServer.make()).address]
    const prefix = `muster-test-${yield* Random.nextIntBetween(0, 2 ** 40)}`
    const client = yield* EtcdServer.operator(hosts)
    yield* Effect.addFinalizer(() => Effect.promise(() => client.delete().prefix(`${prefix}/`)))
    return Layer.merge(Etcd.layer({ hosts, prefix }), Layer.succeed(Operator, { client, prefix }))
  })
).pipe(Layer.provide(policies))

const write = async (
  client: Etcd3,
  key: (service: string, id: string) => string,
  endpoints: ReadonlyArray<Endpoint.Endpoint>,
  ttl: Duration.Duration
) => {
  const TTL = Duration.toSeconds(ttl)
  const granted = await Promise.all(endpoints.map(() => client.leaseClient.leaseGrant({ TTL })))
  const success = endpoints.map((endpoint, n) => ({
    request_put: {
      key: Buffer.from(key(endpoint.service, endpoint.id)),
      value: Buffer.from(JSON.stringify(endpoint)),
      lease: granted[n]?.ID ?? "0"
    }
  }))
  await client.kv.txn({ success })
}

describe.skipIf(given === undefined && EtcdServer.isMissing)("etcd", () => {
  suite("Etcd", layer, {
    clock: "live",
    ttl: Duration.seconds(6),
    slack: Duration.seconds(2),
    write: (service, id, text) => act((client, key) => client.put(key(service, id)).value(text)),
    remove: (service, id) => act((client, key) => client.delete().key(key(service, id))),
    fill: (endpoints, ttl) =>
      act(async (client, key) => {
        for (const some of Array.chunksOf(endpoints, 100)) await write(client, key, some, ttl)
      })
  })
})
