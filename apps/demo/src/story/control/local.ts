/**
 * One SQLite file in a folder of its own: the folder is renamed, the file replaced by an empty one.
 */
import { Effect, FileSystem, Layer, Path } from "effect"
import { RegistryControl } from "../RegistryControl.ts"

export const layer = (parent: string) =>
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
        outages: [
          {
            takeAway: { says: "the registry's folder is renamed", done: fs.rename(folder, away) },
            bringBack: { says: "the folder gets its name back", done: fs.rename(away, folder) }
          }
        ],
        wipe: {
          says: "the registry's file is replaced by an empty one",
          // The write-ahead log goes with the file: left beside an empty one, SQLite would recover everything from it.
          done: Effect.gen(function* () {
            yield* fs.writeFileString(empty, "")
            for (const log of [`${file}-wal`, `${file}-shm`]) yield* fs.remove(log, { force: true })
            yield* fs.rename(empty, file)
          })
        }
      })
    })
  )
