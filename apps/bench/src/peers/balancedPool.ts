/**
 * A client that balances with undici's `BalancedPool` and tries again with undici's retry interceptor, both with their
 * defaults: only what is idempotent is sent again.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Effect, Layer } from "effect"
import { BalancedPool, interceptors } from "undici"
import * as Instances from "./instances.ts"

/** An `HttpClient` for a service that is registered in this etcd. */
export const layer = (etcd: string, service: string) =>
  Layer.provide(
    NodeHttpClient.layerUndiciNoDispatcher,
    Layer.effect(
      NodeHttpClient.Dispatcher,
      Effect.gen(function* () {
        const pool = yield* Effect.acquireRelease(
          Effect.sync(() => new BalancedPool([])),
          (pool) => Effect.promise(() => pool.destroy())
        )
        yield* Instances.follow(etcd, service, (there) => {
          const origins = new Set(there.map(({ address }) => `http://${address}`))
          for (const origin of pool.upstreams) if (!origins.has(origin)) pool.removeUpstream(origin)
          for (const origin of origins) pool.addUpstream(origin)
        })
        return pool.compose(interceptors.retry())
      })
    )
  )
