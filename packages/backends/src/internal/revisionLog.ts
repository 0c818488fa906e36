/**
 * Following a registry that keeps a bounded log of numbered revisions.
 *
 * A watcher holds nothing but its position and reads what came after it, so that a slow one costs no memory; when the
 * log no longer reaches back to its position it gets a full read instead. A cursor names the history it belongs to:
 * a position in another one (the registry was wiped, replaced or restored) or one from the future never resumes.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type Change, Cursor } from "@muster/core/Change"

/** A log that goes from the revision after `trimmed` up to `last`. */
export interface Extent {
  readonly history: string
  readonly trimmed: number
  readonly last: number
}

/** The cursor after this revision. */
export const cursor = (history: string, revision: number): Cursor => Cursor.make(`${history}@${revision}`)

/** The revision after which the log has everything that the cursor misses; `undefined` when it does not. */
export const resumable = (from: Cursor | undefined, log: Extent): number | undefined => {
  if (from === undefined || !from.startsWith(`${log.history}@`)) return undefined
  const revision = Number(from.slice(log.history.length + 1))
  return Number.isInteger(revision) && revision >= log.trimmed && revision <= log.last ? revision : undefined
}

/** Wakes everybody who waits for the next change. */
export interface Notice {
  readonly notify: () => void
  /** Completes with the first `notify` after this was asked for. */
  readonly next: () => Effect.Effect<void>
}

/** Nobody waits yet. */
export const makeNotice = (): Notice => {
  let latch = Latch.makeUnsafe()
  return {
    notify: () => {
      const passed = latch
      latch = Latch.makeUnsafe()
      passed.openUnsafe()
    },
    next: () => latch.await
  }
}

/** What there is to say after a position, and the position after that. */
export interface Reading {
  readonly changes: ReadonlyArray<Change>
  readonly cursor: Cursor
}

/**
 * Reads at once, then again after each notice, from where the reading before ended. `read` answers one Reset where
 * the position cannot be resumed; the notice is asked for before each read, so that nothing falls between the two.
 */
export const follow = <E>(
  start: Cursor | undefined,
  read: (from: Cursor | undefined) => Effect.Effect<Reading, E>,
  notice: Notice
): Stream.Stream<Change, E> =>
  Stream.paginate({ from: start, begun: false, wait: Effect.void }, ({ from, begun, wait }) =>
    Effect.flatMap(wait, () => {
      const next = notice.next()
      return Effect.map(read(from), ({ changes, cursor }) => {
        const resumed = from !== undefined && !begun && changes[0]?._tag !== "Reset"
        const said = resumed ? [{ _tag: "Resumed" as const, cursor: from }, ...changes] : changes
        return [said, Option.some({ from: cursor, begun: true, wait: next })] as const
      })
    })
  )
