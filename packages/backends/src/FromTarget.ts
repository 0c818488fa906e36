/**
 * From a target to its back end, loading the code of that one alone.
 *
 * The same target gives the same layer, so a program that both registers and discovers there shares one connection.
 * Whether a target can be written is settled where it is parsed (`Target.parseWritable`), so `registry` takes no other.
 * Login, certificates and whatever else a target cannot say go to the `layer` of the back end itself.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { Registry } from "@muster/core/Registry"
import type { Resolver } from "@muster/core/Resolver"
import * as Target from "@muster/core/Target"

/**
 * A target that can be read but for which this version has no back end.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotBuilt extends Schema.TaggedError<NotBuilt>()("NotBuilt", { target: Schema.String }) {
  /**
   * Which target, and what there is instead.
   *
   * @since 0.1.0
   */
  override get message(): string {
    const there = "direct: etcd: discov: consul: nacos: local: memory:"
    return `${this.target}: the back end for this target is not built in this version; there is ${there}`
  }
}

/**
 * The registry that a target names, to read from.
 *
 * @category layers
 * @since 0.1.0
 */
export const resolver = (target: Target.Target): Layer.Layer<Resolver, NotBuilt> =>
  Target.isWritable(target) ? writable(target) : Layer.unwrap(readOnly(target))

/**
 * The registry that a target names, to register with.
 *
 * @category layers
 * @since 0.1.0
 */
export const registry = (target: Target.Writable): Layer.Layer<Registry, NotBuilt> => writable(target)

type Load<Port> = Effect.Effect<Layer.Layer<Port>, NotBuilt>

/** The layers that were asked for, by their targets; what is built of them belongs to whoever builds. */
const layers = new Map<string, Layer.Layer<Registry | Resolver, NotBuilt>>()

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
const readOnly = (target: Exclude<Target.Target, Target.Writable>): Load<Resolver> => {
  switch (target._tag) {
    case "Direct":
      return load(
        () => import("./Direct.ts"),
        ({ layer }) => layer(target)
      )
    case "Kubernetes":
      return notBuilt(target)
  }
}

const load = <Module, Port>(module: () => Promise<Module>, layer: (module: Module) => Layer.Layer<Port>): Load<Port> =>
  Effect.map(Effect.promise(module), layer)

const notBuilt = (target: Target.Target) => Effect.fail(new NotBuilt({ target: Target.format(target) }))
