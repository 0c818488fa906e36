/**
 * Which registry the story is told on, by what `--registry` says: one that it starts itself, by its name, or one that
 * is running, by its target. Only the code of that one is loaded.
 */
import { Target } from "@muster/core"
import { Effect, type FileSystem, Layer, type Path, type PlatformError, Result } from "effect"
import { Trouble } from "../Trouble.ts"
import type { RegistryControl } from "./RegistryControl.ts"

type Control = Layer.Layer<RegistryControl, Trouble | PlatformError.PlatformError, FileSystem.FileSystem | Path.Path>

/** What the story can start itself, in a folder that it may fill. */
const own: Readonly<Record<string, (folder: string) => Promise<Control>>> = {
  local: (folder) => import("./control/local.ts").then(({ layer }) => layer(folder)),
  etcd: (folder) => import("./control/etcd.ts").then(({ layer }) => layer(folder))
}

/** What the story can be told on while it is running already, by example. */
const given = "etcd://127.0.0.1:2379"

/** The registries that the story is told on, for its help. */
export const registries: ReadonlyArray<string> = [...Object.keys(own), given]

/** The control of this registry; `folder` is the story's own. */
export const layer = (registry: string, folder: string): Control =>
  Layer.unwrap(
    Effect.gen(function* () {
      const start = Object.hasOwn(own, registry) ? own[registry] : undefined
      if (start !== undefined) return yield* Effect.promise(() => start(folder))
      const target = Result.getOrUndefined(Target.parse(registry))
      if (target?._tag === "Etcd") {
        const { layer } = yield* Effect.promise(() => import("./control/givenEtcd.ts"))
        return layer(target)
      }
      return yield* new Trouble({
        message: `the story is not told on "${registry}", but on ${registries.join(", ")}`
      })
    })
  )
