/**
 * Keeps the last snapshot of each service in a folder, one file for each registry and service, for `Discovery.Memory`.
 *
 * A file is written beside the old one, flushed, and put in its place at once: whoever reads finds the old text or the
 * new one, also if the process is killed in between or another process writes to the same folder. Only this user can
 * read it. The folder is made when there is something to keep, so a disk that is full or read-only keeps nobody from
 * starting.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Random from "effect/Random"
import { Memory } from "./Discovery.ts"

/**
 * Makes `Discovery.layer` remember in this folder: provide it to that layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: {
  readonly directory: string
}): Layer.Layer<never, never, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(
    Memory,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const fileOf = (key: string) => path.join(options.directory, key)
      const write = Effect.fnUntraced(function* (file: string, text: string) {
        const opened = yield* fs.open(file, { flag: "w", mode: 0o600 })
        yield* opened.writeAll(new TextEncoder().encode(text))
        yield* opened.sync
      }, Effect.scoped)
      return {
        get: (key) => Effect.catchIf(fs.readFileString(fileOf(key)), isNotFound, () => Effect.undefined),
        set: Effect.fnUntraced(function* (key, text) {
          yield* fs.makeDirectory(options.directory, { recursive: true })
          const beside = fileOf(`${key}.${yield* Random.nextIntBetween(0, 2 ** 32)}.new`)
          yield* Effect.andThen(write(beside, text), fs.rename(beside, fileOf(key))).pipe(
            Effect.onError(() => Effect.ignore(fs.remove(beside, { force: true })))
          )
        })
      }
    })
  )

const isNotFound = ({ reason }: PlatformError): boolean => reason._tag === "NotFound"
