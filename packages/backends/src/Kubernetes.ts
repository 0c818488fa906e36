/**
 * Services of Kubernetes, from their EndpointSlices: the read port only, because Kubernetes registers its pods itself.
 *
 * Every service of a namespace is followed by one list-and-watch, which lives while somebody watches. A pod that is
 * ready is listed, one that is leaving but still answers is listed as draining, and no other; a service that does not
 * exist yet has no instances. The role of the client needs to get, list and watch `endpointslices`, nothing else.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { RegistryError } from "@muster/core/RegistryError"
import { Resolver } from "@muster/core/Resolver"
import * as Connection from "./internal/kubernetes/connection.ts"
import * as Credentials from "./internal/kubernetes/credentials.ts"
import * as SharedResolver from "./internal/kubernetes/resolver.ts"

/**
 * Where the services are and how the API server is reached.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The namespace of services that name none: `orders` is there, `orders.shop` and `orders.shop.svc` are in `shop`.
   * Default: the namespace of the context or of the pod, else "default".
   */
  readonly namespace?: string | undefined
  /**
   * The port of a service, by the service's name as it is asked for: the number of the pod's port, or the name of the
   * Service's port.
   * Default: the first TCP port of each slice.
   */
  readonly ports?: Readonly<Record<string, number | string>> | undefined
  /** A kubeconfig file. Default: `KUBECONFIG`, `~/.kube/config`, else the service account of the pod. */
  readonly kubeconfig?: string | undefined
  /** A context of the kubeconfig. Default: its current one. */
  readonly context?: string | undefined
}

const make = (options: Options) =>
  Effect.gen(function* () {
    const credentials = yield* Credentials.make(options)
    const connection = yield* Connection.make(credentials)
    return yield* SharedResolver.make(connection, {
      namespace: options.namespace ?? credentials.namespace ?? "default",
      ports: options.ports ?? {}
    })
  }).pipe(
    Effect.mapError(
      (reason) => new RegistryError({ registry: `k8s://${options.namespace ?? ""}`, key: "credentials", reason })
    )
  )

/**
 * The services of a cluster. Fails where no kubeconfig and no service account names one; a cluster that cannot be
 * reached or that refuses us fails the watches.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Resolver, RegistryError> =>
  Layer.effect(Resolver, make(options))

/**
 * The same from configuration.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (options: Config.Wrap<Options>): Layer.Layer<Resolver, Config.ConfigError | RegistryError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
