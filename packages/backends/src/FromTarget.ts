/**
 * From a target to its back end, loading the code of that one alone.
 *
 * The same target gives the same layer, so a program that both registers and discovers there shares one connection;
 * with an `Access` each layer has its own. Whether a target can be written is settled where it is parsed
 * (`Target.parseWritable`), so `registry` takes no other. What belongs to one back end alone, such as the kubeconfig,
 * goes to the `layer` of that one.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Registry } from "@muster/core/Registry"
import type { RegistryError } from "@muster/core/RegistryError"
import type { Resolver } from "@muster/core/Resolver"
import * as Target from "@muster/core/Target"
import { type Login, ofGoZero, type Tls } from "./internal/access.ts"

/**
 * Who we are to a registry, which a target does not say because it is shown in logs, metrics and errors.
 *
 * @category models
 * @since 0.1.0
 */
export interface Access {
  /** A user and a password, for etcd and Nacos. */
  readonly login?: Login | undefined
  /** The ACL token of Consul, or an access token of Nacos. */
  readonly token?: Redacted.Redacted | undefined
  /** TLS with the names of PEM files, for etcd, Consul and Nacos. */
  readonly tls?: Tls | undefined
  /** go-zero's `Etcd.ID`, which stands in place of the lease if it is above 0, for its entries in etcd. */
  readonly id?: number | undefined
}

/**
 * A part of an `Access` that means nothing to the registry, which is never left out in silence.
 *
 * @category errors
 * @since 0.1.0
 */
export class AccessError extends Schema.TaggedError<AccessError>()("AccessError", {
  target: Schema.String,
  refused: Schema.Array(Schema.String)
}) {
  /**
   * Which parts, and which registry.
   *
   * @since 0.1.0
   */
  override get message(): string {
    return `${this.target} takes ${this.refused.map((part) => `no ${part}`).join(" and ")}`
  }
}

/**
 * The access that a go-zero configuration speaks of, so that nothing of it is lost:
 * `FromTarget.resolver(configured.target, FromTarget.accessOf(configured))`.
 *
 * @category configuration
 * @since 0.1.0
 */
export const accessOf: (configured: Target.Configured) => Access = ofGoZero

/**
 * The registry that a target names, to read from. Only `k8s:` can fail: where nothing says how to reach the cluster;
 * and any with an `access` that it does not know.
 *
 * @category layers
 * @since 0.1.0
 */
export function resolver(target: Target.Target): Layer.Layer<Resolver, RegistryError>
export function resolver(target: Target.Target, access: Access): Layer.Layer<Resolver, RegistryError | AccessError>
export function resolver(
  target: Target.Target,
  access: Access = {}
): Layer.Layer<Resolver, RegistryError | AccessError> {
  return Target.isWritable(target) ? writable(target, access) : given(target, access, readOnly(target))
}

/**
 * The registry that a target names, to register with. Fails with an `access` that it does not know.
 *
 * @category layers
 * @since 0.1.0
 */
export function registry(target: Target.Writable): Layer.Layer<Registry>
export function registry(target: Target.Writable, access: Access): Layer.Layer<Registry, AccessError>
export function registry(target: Target.Writable, access: Access = {}): Layer.Layer<Registry, AccessError> {
  return writable(target, access)
}

type Load<Port, E = never> = Effect.Effect<Layer.Layer<Port, E>>

const parts = ["login", "token", "tls", "id"] as const

/** What each registry takes of an access. */
const taken: Readonly<Record<Target.Target["_tag"], ReadonlyArray<keyof Access>>> = {
  Direct: [],
  Memory: [],
  Local: [],
  Kubernetes: [],
  Consul: ["token", "tls"],
  Nacos: ["login", "token", "tls"],
  Etcd: ["login", "tls"],
  EtcdKey: ["login", "tls", "id"]
}

/** The layer, unless something is said that its registry does not take. */
const given = <Port, E>(target: Target.Target, access: Access, layer: Load<Port, E>) => {
  const refused = parts.filter((part) => access[part] !== undefined && !taken[target._tag].includes(part))
  return Layer.unwrap(
    refused.length === 0 ? layer : Effect.fail(new AccessError({ target: Target.format(target), refused }))
  )
}

/** The layers that were asked for by nobody in particular, by their targets; what is built of them belongs to whoever builds. */
const layers = new Map<string, Layer.Layer<Registry | Resolver>>()

const writable = (target: Target.Writable, access: Access) => {
  if (parts.some((part) => access[part] !== undefined)) return given(target, access, both(target, access))
  const name = Target.format(target)
  const layer = layers.get(name) ?? Layer.unwrap(both(target, {}))
  layers.set(name, layer)
  return layer
}

/** The back ends that can be written. */
const both = (target: Target.Writable, access: Access): Load<Registry | Resolver> => {
  switch (target._tag) {
    case "Memory":
      return load(
        () => import("./Memory.ts"),
        ({ layer }) => layer
      )
    case "Local":
      return load(
        () => import("./Local.ts"),
        ({ layer }) => layer(target)
      )
    case "Etcd":
      return load(
        () => import("./Etcd.ts"),
        ({ layer }) => layer({ hosts: target.hosts.map(Target.formatAddress), prefix: target.prefix, ...access })
      )
    case "Consul":
      return load(
        () => import("./Consul.ts"),
        ({ layer }) => layer({ ...target, ...access })
      )
    case "EtcdKey":
      return load(
        () => import("./Etcd.ts"),
        ({ layer }) =>
          layer({ hosts: target.hosts.map(Target.formatAddress), layout: "go-zero", key: target.key, ...access })
      )
    case "Nacos":
      return load(
        () => import("./Nacos.ts"),
        ({ layer }) => layer({ ...target, ...access })
      )
  }
}

/** The back ends that only answer. */
const readOnly = (target: Exclude<Target.Target, Target.Writable>): Load<Resolver, RegistryError> => {
  switch (target._tag) {
    case "Direct":
      return load(
        () => import("./Direct.ts"),
        ({ layer }) => layer(target)
      )
    case "Kubernetes": {
      const { namespace, port, service } = target
      return load(
        () => import("./Kubernetes.ts"),
        ({ layer }) => layer({ namespace, ports: port === undefined ? {} : { [service]: port } })
      )
    }
  }
}

const load = <Module, Port, E>(
  module: () => Promise<Module>,
  layer: (module: Module) => Layer.Layer<Port, E>
): Load<Port, E> => Effect.map(Effect.promise(module), layer)
