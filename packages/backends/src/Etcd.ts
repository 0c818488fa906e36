/**
 * etcd 3.4 and later as a registry: both ports, over one connection.
 *
 * Nothing that etcd told is lost, doubled or reordered over any reconnect, and nothing it did not say is invented; what
 * it cannot tell any more is read as a whole. Registrations survive outages, elections and members that hang, and are
 * put back after a loss. etcd3 lends its typed stubs only: its Watcher loses events, its Lease dies silently.
 * Where there is authentication, a server needs `readwrite` below `<prefix>/<service>/`, a client `read`. The requests
 * that are made are in docs/etcd.md of Muster's repository.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { Endpoint, ServiceName } from "@muster/core/Endpoint"
import { Registry } from "@muster/core/Registry"
import { RegistryError, type RegistryErrorReason } from "@muster/core/RegistryError"
import { Resolver } from "@muster/core/Resolver"
import type * as Target from "@muster/core/Target"
import * as AddressLayout from "./internal/etcd/addressLayout.ts"
import * as Configured from "./internal/etcd/configured.ts"
import { type GrpcError, toReason } from "./internal/etcd/grpcError.ts"
import * as KeepAlive from "./internal/etcd/keepAlive.ts"
import * as Members from "./internal/etcd/members.ts"
import * as MusterLayout from "./internal/etcd/musterLayout.ts"
import * as Registration from "./internal/etcd/registration.ts"
import type { Login, Tls } from "./internal/access.ts"
import * as Watch from "./internal/etcd/watch.ts"
import * as WatchStream from "./internal/etcd/watchStream.ts"

/**
 * Where etcd is, how to talk to it, and how services are written there.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The members, as `host:port`, or as etcd lists them, `https://host:port`. Any healthy one suffices. */
  readonly hosts: ReadonlyArray<string>
  /**
   * How services are written. Default: "muster", which says everything, as JSON under `<prefix>/<service>/<instance>`.
   * "go-zero" writes `host:port` under `<key>/<lease>`, "grpc" is the layout of etcd's gRPC naming,
   * `<service>/<host:port>`. Both know an instance by its address only and take a draining one out.
   */
  readonly layout?: Layout | undefined
  /** What every key begins with. Default: "muster" in Muster's layout, nothing in the others. */
  readonly prefix?: string | undefined
  /** With "go-zero", its `Etcd.Key`: the one service there is, whatever name is asked for. Default: a key for each name. */
  readonly key?: string | undefined
  /** With "go-zero", its `Etcd.ID`, which stands in place of the lease if it is above 0. */
  readonly id?: number | undefined
  readonly login?: Login | undefined
  readonly tls?: Tls | undefined
  /** How long a registration lives without a renewal. Default: what the registrar asks for (`Policy.Lease`). */
  readonly ttl?: Duration.Duration | undefined
}

/**
 * How services are written into etcd.
 *
 * @category models
 * @since 0.1.0
 */
export type Layout = "muster" | "go-zero" | "grpc"

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

const layoutOf = Effect.fnUntraced(function* ({ id, key, layout, prefix }: Options) {
  const folder = (service: ServiceName) => (prefix === undefined ? `${service}/` : `${prefix}/${service}/`)
  switch (layout) {
    case "go-zero":
      return AddressLayout.goZero(key === undefined ? folder : () => `${key}/`, id)
    case "grpc":
      return AddressLayout.grpc(folder)
    default:
      return yield* MusterLayout.make(prefix ?? "muster")
  }
})

/** The registry as a target, for logs, metrics and errors. */
const nameOf = ({ hosts, key, layout = "muster", prefix }: Options) => {
  const name = `etcd://${hosts.join(",")}`
  if (layout === "go-zero" && key !== undefined) return `${name}/${key}`
  const before = prefix ?? (layout === "muster" ? layout : undefined)
  return before === undefined ? name : `${name}?prefix=${before}`
}

const make = Effect.fnUntraced(function* (options: Options) {
  const hosts = options.hosts.map((host) => host.replace(/^https?:\/\//, ""))
  const isSecure = options.hosts.some((host) => host.startsWith("https://"))
  const tls = options.tls ?? (isSecure ? {} : undefined)
  const registry = nameOf(options)
  const layout = yield* layoutOf(options)
  const members = yield* Members.make(hosts, { login: options.login, tls })
  const watch = yield* Watch.make(members, yield* WatchStream.make(members), layout)
  const registration = yield* Registration.make(members, yield* KeepAlive.make(members), layout)

  const told =
    (key: string) =>
    (error: GrpcError | RegistryErrorReason): RegistryError =>
      new RegistryError({ registry, key, reason: error._tag === "GrpcError" ? toReason(error) : error })
  const of = ({ id, service }: Endpoint) => told(`${service}/${id}`)

  return Context.make(Registry, {
    registry,
    register: (endpoint, ttl) => Effect.mapError(registration.register(endpoint, options.ttl ?? ttl), of(endpoint)),
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

/**
 * The options as the environment has them: `ETCD_HOSTS` (separated by commas), and, where they are set, `ETCD_LAYOUT`,
 * `ETCD_PREFIX`, `ETCD_KEY`, `ETCD_ID`, `ETCD_TTL` ("10 seconds"), `ETCD_USER` with `ETCD_PASSWORD`, `ETCD_CA_FILE`,
 * `ETCD_CERT_FILE`, `ETCD_KEY_FILE`, `ETCD_SERVER_NAME`, `ETCD_SKIP_VERIFY`.
 *
 * @category configuration
 * @since 0.1.0
 */
export const config: Config.Config<Options> = Configured.config

/**
 * The same from configuration, by default from the environment.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: Config.Wrap<Options> = config
): Layer.Layer<Registry | Resolver, Config.ConfigError> => Layer.unwrap(Effect.map(Config.unwrap(options), layer))

/**
 * The options that go-zero's `Etcd: { Hosts, Key, ID, User, Pass, CertFile, CertKeyFile, CACertFile,
 * InsecureSkipVerify }` means, as `Target.fromConfig` reads it; `undefined` where it means another registry.
 *
 * @category configuration
 * @since 0.1.0
 */
export const fromGoZero: (configured: Target.Configured) => Options | undefined = Configured.fromGoZero
