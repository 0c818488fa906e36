/**
 * The registry of one machine: a file that its processes share, with nothing to install. Both ports.
 *
 * Its processes see each other's changes within about a millisecond through a watch on the file's folder, and within
 * `Policy.Poll` without. Killing any of them at any moment corrupts nothing; its entry goes when its lease has stood
 * still for its time to live on the clock of whoever looks. A file or folder that is renamed, deleted or replaced is
 * noticed: watches fail with `Unavailable` until it is back, and the next registration makes a missing file anew.
 * The folder is never made, and no reader makes a file: either would pass off a loss as an empty registry.
 */
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Path from "node:path"
import * as Policy from "@muster/core/Policy"
import { Registry } from "@muster/core/Registry"
import { Resolver } from "@muster/core/Resolver"
import * as Expiry from "./internal/local/expiry.ts"
import * as File from "./internal/local/file.ts"
import * as FolderWatch from "./internal/local/folderWatch.ts"
import * as Leases from "./internal/local/leases.ts"
import * as Watches from "./internal/local/watches.ts"
import * as RevisionLog from "./internal/revisionLog.ts"

/**
 * Where the file is; a relative path starts at the working directory.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly path: string
}

const make = Effect.fnUntraced(function* (options: Options) {
  const path = Path.resolve(options.path)
  const registry = `local:${path}`
  const poll = yield* Policy.Poll
  const sweep = yield* Policy.Sweep
  /** Looks that are further apart than this were held up. */
  const longest = Duration.toMillis(Duration.max(sweep, poll)) * 2
  const file = yield* File.make(path)
  const notice = RevisionLog.makeNotice()
  const { check, ...port } = yield* Leases.make(file, registry, notice.notify)
  const watch = Watches.make(file, registry, notice)

  let observed = Expiry.initial
  const expire = Effect.gen(function* () {
    const now = Number((yield* Clock.monotonicTimeNanos) / 1_000_000n)
    if (now - observed.lookedAt < Duration.toMillis(sweep)) return
    const beats = yield* file.read((tables) => tables.beats())
    const { observed: next, over } = Expiry.look(observed, beats, now, longest)
    observed = next
    if (over.length === 0) return
    yield* file.write((tables) => over.forEach(tables.expire))
    notice.notify()
    yield* check
  })

  const hint = Latch.makeUnsafe()
  const folder = yield* FolderWatch.make(path, () => hint.openUnsafe())

  /** Looks whenever there is a hint and from time to time without. */
  const tend = Effect.gen(function* () {
    yield* folder.ensure
    yield* Effect.raceFirst(hint.await, Effect.sleep(poll))
    hint.closeUnsafe()
    const look = yield* file.look
    if (look === "idle") return
    if (look !== "same") {
      notice.notify()
      yield* check
    }
    yield* Effect.ignore(expire)
  })
  yield* tend.pipe(
    Effect.catchDefect((defect) => Effect.logError(`${registry}: looking after the file failed`, defect)),
    Effect.forever,
    Effect.forkScoped({ startImmediately: true })
  )

  return Context.make(Registry, { registry, ...port }).pipe(Context.add(Resolver, { registry, watch }))
})

/**
 * The registry in this file.
 *
 * **Gotchas**
 *
 * SQLite works in the thread that asks it. Calls wait for other processes without blocking, and end at their deadline;
 * a disk that hangs is waited for by the whole process. Keep the file on a disk of this machine, not on a network share.
 * Containers share its folder, never the file alone: two more lie beside it, and without them each would have a registry
 * of its own.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Registry | Resolver> => Layer.effectContext(make(options))

/**
 * The registry in a file that configuration names.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (options: Config.Wrap<Options>): Layer.Layer<Registry | Resolver, Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
