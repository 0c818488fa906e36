/**
 * etcd 3.4 and later as a registry: both ports, over one connection.
 *
 * Nothing that etcd told is lost, doubled or reordered over any reconnect, and nothing it did not say is invented; what
 * it cannot tell any more is read as a whole. Registrations survive outages, elections and members that hang, and are
 * put back after a loss. etcd3 lends its typed stubs only: its Watcher loses events, its Lease dies silently.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { Endpoint } from "@muster/core/Endpoint"
import { Registry } from "@muster/core/Registry"
import { RegistryError, type RegistryErrorReason } from "@muster/core/RegistryError"
import { Resolver } from "@muster/core/Resolver"
import { type GrpcError, toReason } from "./internal/etcd/grpcError.ts"
import * as KeepAlive from "./internal/etcd/keepAlive.ts"
import * as Members from "./internal/etcd/members.ts"
import * as MusterLayout from "./internal/etcd/musterLayout.ts"
import * as Registration from "./internal/etcd/registration.ts"
import type { Login, Tls } from "./internal/etcd/security.ts"
import * as Watch from "./internal/etcd/watch.ts"
import * as WatchStream from "./internal/etcd/watchStream.ts"

/**
 * Where etcd is and how to talk to it. Defaults: keys below "muster", no user, no TLS.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The members, as `host:port`. Any healthy one suffices. */
  readonly hosts: ReadonlyArray<string>
  /** What every key begins with. */
  readonly prefix?: string | undefined
  readonly login?: Login | undefined
  readonly tls?: Tls | undefined
}

export type {
  /**
   * A user of etcd.
   *
   * @category models
   * @since 0.1.0
   */
  Login,
  /**
   * TLS and client certificates, as the names of PEM files.
   *
   * @category models
   * @since 0.1.0
   */
  Tls
}

const make = Effect.fnUntraced(function* ({ hosts, login, prefix = "muster", tls }: Options) {
  const registry = `etcd://${hosts.join(",")}?prefix=${prefix}`
  const layout = yield* MusterLayout.make(prefix)
  const members = yield* Members.make(hosts, { login, tls })
  const watch = yield* Watch.make(members, yield* WatchStream.make(members), layout)
  const registration = yield* Registration.make(members, yield* KeepAlive.make(members), layout)

  const told =
    (key: string) =>
    (error: GrpcError | RegistryErrorReason): RegistryError =>
      new RegistryError({ registry, key, reason: error._tag === "GrpcError" ? toReason(error) : error })
  const of = ({ id, service }: Endpoint) => told(`${service}/${id}`)

  return Context.make(Registry, {
    registry,
    register: (endpoint, ttl) => Effect.mapError(registration.register(endpoint, ttl), of(endpoint)),
    update: (lease, endpoint) => Effect.mapError(registration.update(lease, endpoint), of(lease.endpoint)),
    renew: (lease) => Effect.mapError(registration.renew(lease), of(lease.endpoint)),
    revoke: (lease) => Effect.mapError(registration.revoke(lease), of(lease.endpoint))
  }).pipe(
    Context.add(Resolver, {
      registry,
      watch: (service, from) => Stream.mapError(watch(service, from), told(service))
    })
  )
})

/**
 * A registry in etcd.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Registry | Resolver> => Layer.effectContext(make(options))
