/**
 * Which registry the story is told on, by what `--registry` says: one that it starts itself, by its name, or one that
 * is running, by its target. Only the code of that one is loaded.
 */
import { Target } from "@muster/core"
import { Effect, type FileSystem, Layer, Option, type Path, type PlatformError, Result } from "effect"
import { Trouble } from "../Trouble.ts"
import type { RegistryControl } from "./RegistryControl.ts"

type Control = Layer.Layer<RegistryControl, Trouble | PlatformError.PlatformError, FileSystem.FileSystem | Path.Path>

/** What the story can start itself, in a folder that it may fill. */
const own: Readonly<Record<string, (folder: string) => Promise<Control>>> = {
  local: (folder) => import("./control/local.ts").then(({ layer }) => layer(folder)),
  etcd: (folder) => import("./control/etcd.ts").then(({ layer }) => layer(folder)),
  k8s: () => import("./control/kubernetes.ts").then(({ own }) => own),
  consul: () => import("./control/consul.ts").then(({ own }) => own),
  nacos: () => import("./control/nacos.ts").then(({ own }) => own)
}

/** What the story can be told on while it is running already, by example. */
const examples = ["etcd://127.0.0.1:2379", "k8s://shop/orders", "consul://127.0.0.1:8500", "nacos://127.0.0.1:8848"]

/** The control of a registry that is running, unless it is of a kind that the story is not told on. */
const given = (target: Target.Target): Promise<Control> | undefined => {
  switch (target._tag) {
    case "Etcd":
      return import("./control/givenEtcd.ts").then(({ layer }) => layer(target))
    case "Kubernetes":
      return import("./control/kubernetes.ts").then(({ given }) => given(target))
    case "Consul":
      return import("./control/consul.ts").then(({ given }) => given(target))
    case "Nacos":
      return import("./control/nacos.ts").then(({ given }) => given(target))
    default:
      return undefined
  }
}

/** The registries that the story is told on, for its help. */
export const registries: ReadonlyArray<string> = [...Object.keys(own), ...examples]

/** The control of this registry; `folder` is the story's own. */
export const layer = (registry: string, folder: string): Control =>
  Layer.unwrap(
    Effect.gen(function* () {
      const start = Object.hasOwn(own, registry) ? own[registry] : undefined
      if (start !== undefined) return yield* Effect.promise(() => start(folder))
      const running = Option.flatMapNullishOr(Result.getSuccess(Target.parse(registry)), given)
      if (Option.isSome(running)) return yield* Effect.promise(() => running.value)
      return yield* new Trouble({
        message: `the story is not told on "${registry}", but on ${registries.join(", ")}`
      })
    })
  )
