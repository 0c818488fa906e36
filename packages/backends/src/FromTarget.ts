/**
 * From a target to its back end, loading the code of that one alone.
 *
 * The same target gives the same layer, so a program that both registers and discovers there shares one connection.
 * Whether a target can be written is settled where it is parsed (`Target.parseWritable`), so `registry` takes no other.
 * Login, certificates and whatever else a target cannot say go to the `layer` of the back end itself.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Registry } from "@muster/core/Registry"
import type { RegistryError } from "@muster/core/RegistryError"
import type { Resolver } from "@muster/core/Resolver"
import * as Target from "@muster/core/Target"

/**
 * The registry that a target names, to read from. Only `k8s:` can fail: where nothing says how to reach the cluster.
 *
 * @category layers
 * @since 0.1.0
 */
export const resolver = (target: Target.Target): Layer.Layer<Resolver, RegistryError> =>
  Target.isWritable(target) ? writable(target) : Layer.unwrap(readOnly(target))

/**
 * The registry that a target names, to register with.
 *
 * @category layers
 * @since 0.1.0
 */
export const registry = (target: Target.Writable): Layer.Layer<Registry> => writable(target)

type Load<Port, E = never> = Effect.Effect<Layer.Layer<Port, E>>

/** The layers that were asked for, by their targets; what is built of them belongs to whoever builds. */
const layers = new Map<string, Layer.Layer<Registry | Resolver>>()

const writable = (target: Target.Writable) => {
  const name = Target.format(target)
  const layer = layers.get(name) ?? Layer.unwrap(both(target))
  layers.set(name, layer)
  return layer
}

/** The back ends that can be written. */
const both = (target: Target.Writable): Load<Registry | Resolver> => {
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
        ({ layer }) => layer({ hosts: target.hosts.map(Target.formatAddress), prefix: target.prefix })
      )
    case "Consul":
      return load(
        () => import("./Consul.ts"),
        ({ layer }) => layer(target)
      )
    case "EtcdKey":
      return load(
        () => import("./Etcd.ts"),
        ({ layer }) => layer({ hosts: target.hosts.map(Target.formatAddress), layout: "go-zero", key: target.key })
      )
    case "Nacos":
      return load(
        () => import("./Nacos.ts"),
        ({ layer }) => layer(target)
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
