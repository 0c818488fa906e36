/**
 * Notice of writes to a file, by watching its folder: the file itself changes only at checkpoints, and a watch on it
 * would not see it replaced.
 *
 * Notices are a hint and may be lost or spurious; whoever relies on them also looks from time to time.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Path from "node:path"

/** Calls back on each write until the scope closes; `ensure` watches anew when the folder is another one by now. */
export const make = Effect.fnUntraced(function* (
  path: string,
  notice: () => void
): Effect.fn.Return<{ readonly ensure: Effect.Effect<void> }, never, Scope.Scope> {
  const folder = Path.dirname(path)
  const name = Path.basename(path)
  let watched: { readonly inode: bigint; readonly watcher: Fs.FSWatcher } | undefined

  const stop = () => {
    watched?.watcher.close()
    watched = undefined
  }
  yield* Effect.addFinalizer(() => Effect.sync(stop))

  const ensure = Effect.try(() => {
    const inode = Fs.statSync(folder, { bigint: true, throwIfNoEntry: false })?.ino
    if (inode === watched?.inode) return
    stop()
    if (inode === undefined) return
    const watcher = Fs.watch(folder, (_, changed) => {
      if (changed === null || changed.startsWith(name)) notice()
    })
    watched = { inode, watcher: watcher.on("error", stop) }
  })
  return { ensure: Effect.ignore(ensure) }
})
