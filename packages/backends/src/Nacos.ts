/**
 * Nacos: instances of a service in a namespace and a group, over gRPC with pushes where the server has it, else over HTTP.
 *
 * Which of the two is found out by asking (gRPC, then the HTTP client API of version 3, then of version 1), so that
 * servers from 1.x to 3.x will do; either can be left out. Ephemeral instances live as long as we are connected or beat,
 * persistent ones until they are withdrawn. What the protect threshold makes of unhealthy instances is believed; an
 * empty push is a listing like any other, which Discovery's guard doubts. A server needs `rw` on
 * `<namespace>:<group>:naming/*`, a client `r`. The requests that are made are in docs/nacos.md of Muster's repository.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { type Change, Cursor } from "@muster/core/Change"
import type { ServiceName } from "@muster/core/Endpoint"
import { Registry } from "@muster/core/Registry"
import { Resolver } from "@muster/core/Resolver"
import * as Target from "@muster/core/Target"
import type * as Access from "./internal/access.ts"
import * as Http from "./internal/http.ts"
import * as HttpPool from "./internal/httpPool.ts"
import * as Connection from "./internal/nacos/connection.ts"
import * as Login from "./internal/nacos/login.ts"
import * as Registration from "./internal/nacos/registration.ts"
import * as Wire from "./internal/nacos/wire.ts"

/**
 * Which cluster, where in it, and how it is spoken to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The servers, by their HTTP ports; gRPC is 1000 above. Default: 127.0.0.1:8848. */
  readonly hosts?: ReadonlyArray<Target.Address> | undefined
  /** Default: "public". */
  readonly namespace?: string | undefined
  /** Default: "DEFAULT_GROUP". */
  readonly group?: string | undefined
  /** The cluster of what is registered; all clusters are read. Default: "DEFAULT". */
  readonly cluster?: string | undefined
  /** Whether instances are gone with us. Default: true. */
  readonly ephemeral?: boolean | undefined
  /** The user to log in as, again and again; or an access token of your own. Default: neither. */
  readonly login?: Access.Login | undefined
  readonly token?: Redacted.Redacted | undefined
  /** Only this protocol. Default: gRPC, and HTTP where no server has gRPC. */
  readonly protocol?: "grpc" | "http" | undefined
  /** TLS for both protocols, with the names of PEM files. Default: none. */
  readonly tls?: Access.Tls | undefined
}

/** Nothing resumes: each watch begins with a listing of now. */
const cursor = Cursor.make("nacos")

/**
 * Both ports on a Nacos cluster, over the HttpClient in the context instead of one of its own.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoDeps = (options: Options = {}): Layer.Layer<Registry | Resolver, never, HttpClient.HttpClient> =>
  Layer.provide(make(options), Http.layerClient)

/**
 * Both ports on a Nacos cluster.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Registry | Resolver> =>
  Layer.provide(make(options), HttpPool.layer(options.tls))

/**
 * The same from configuration.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (options: Config.Wrap<Options>): Layer.Layer<Registry | Resolver, Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))

const make = (options: Options): Layer.Layer<Registry | Resolver, never, Http.Http> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const { login, protocol, tls, token } = options
      const [first = { host: "127.0.0.1", port: 8848 }, ...others] = options.hosts ?? []
      const { cluster, group, namespace } = options
      const optional = Object.fromEntries(
        Object.entries({ namespace, group, cluster }).filter(([, value]) => value !== undefined)
      )
      const registry = Target.format({ _tag: "Nacos", hosts: [first, ...others], ...optional })
      const place: Wire.Place = {
        namespace: namespace ?? "public",
        group: group ?? "DEFAULT_GROUP",
        cluster: cluster ?? "DEFAULT",
        ephemeral: options.ephemeral ?? true
      }
      const http = yield* Http.Http
      const tokens = yield* Login.make(http, login, token)
      const protocols = protocol === undefined ? (["grpc", "http"] as const) : [protocol]
      const hosts = [first, ...others]
      const connection = yield* Connection.make({ registry, hosts, protocols, place, tls, http, tokens })
      const watch = (service: ServiceName) =>
        Stream.map(connection.watch(service), (info): Change => {
          const { endpoints, skipped } = Wire.inventory(service, info)
          return { _tag: "Reset", endpoints, skipped, cursor }
        })
      return Context.make(Registry, { registry, ...(yield* Registration.make(connection, place)) }).pipe(
        Context.add(Resolver, { registry, watch })
      )
    })
  )
