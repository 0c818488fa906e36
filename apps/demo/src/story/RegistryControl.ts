/**
 * The story's power over its registry: to take it away, to bring it back, and to lose everything in it.
 *
 * `local` owns a folder with one SQLite file. A registry that the story did not start itself gets an implementation
 * that puts a proxy in front of it and wipes nothing but a random prefix of its own.
 */
import { Context, Effect, FileSystem, Layer, Path, type PlatformError } from "effect"

export class RegistryControl extends Context.Service<
  RegistryControl,
  {
    /** Its name in the report. */
    readonly name: string
    /** What servers and clients are given. */
    readonly target: string
    /** What `takeAway` and `wipe` do, for the one who watches. */
    readonly says: { readonly takeAway: string; readonly bringBack: string; readonly wipe: string }
    readonly takeAway: Effect.Effect<void, PlatformError.PlatformError>
    readonly bringBack: Effect.Effect<void, PlatformError.PlatformError>
    readonly wipe: Effect.Effect<void, PlatformError.PlatformError>
  }
>()("@muster/demo/RegistryControl") {}

/** One SQLite file in a folder of its own below `parent`: the folder is renamed, the file replaced by an empty one. */
export const local = (parent: string) =>
  Layer.effect(
    RegistryControl,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const folder = path.join(parent, "registry")
      const file = path.join(folder, "orders.db")
      const away = path.join(parent, "registry.away")
      const empty = path.join(parent, "empty.db")
      yield* fs.makeDirectory(folder)

      return RegistryControl.of({
        name: "local",
        target: `local:${file}`,
        says: {
          takeAway: "the registry's folder is renamed",
          bringBack: "the folder gets its name back",
          wipe: "the registry's file is replaced by an empty one"
        },
        takeAway: fs.rename(folder, away),
        bringBack: fs.rename(away, folder),
        // The write-ahead log goes with the file: left beside an empty one, SQLite would recover everything from it.
        wipe: Effect.gen(function* () {
          yield* fs.writeFileString(empty, "")
          for (const log of [`${file}-wal`, `${file}-shm`]) yield* fs.remove(log, { force: true })
          yield* fs.rename(empty, file)
        })
      })
    })
  )
