/**
 * The file of a Local registry as calls use it: opened when it is first needed, given up when its path leads elsewhere.
 *
 * After a file or its folder is renamed, deleted or replaced, open handles go on working on what is no longer there;
 * so each use first compares the file that the path leads to with the one that is open. Calls are short synchronous
 * transactions; while another process writes they wait without blocking, until the deadline of the call.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Fs from "node:fs"
import * as Policy from "@muster/core/Policy"
import { type RegistryErrorReason, TimedOut, Unavailable } from "@muster/core/RegistryError"
import { attempt, type Connection, open, stat, transaction } from "./connection.ts"
import type { Absent } from "./failure.ts"
import type { Tables } from "./tables.ts"

/** What a look at the file found: nothing open, nothing new, a commit of somebody else, or the file gone. */
type Look = "idle" | "same" | "changed" | "gone"

/** The file, as calls use it. */
export interface File {
  /** One read transaction. */
  readonly read: <A>(f: (tables: Tables) => A) => Effect.Effect<A, RegistryErrorReason | Absent>
  /** One write transaction; with `create` an absent file is made, though never its folder. */
  readonly write: <A>(f: (tables: Tables) => A, create?: boolean) => Effect.Effect<A, RegistryErrorReason | Absent>
  readonly look: Effect.Effect<Look>
}

/** The file at an absolute path, closed with the scope. */
export const make = Effect.fnUntraced(function* (path: string): Effect.fn.Return<File, never, Scope.Scope> {
  const deadline = yield* Policy.CallDeadline
  const locked = yield* Policy.Locked
  const turn = yield* Semaphore.make(1)
  let connection: Connection | undefined
  let version = 0
  let isReleased = false
  /** Whether what is open has served anybody. */
  let hasServed = false
  /** What was open and served was given up since the last look, whoever noticed. */
  let isLost = false

  const close = attempt(() => {
    const closing = connection
    connection = undefined
    isLost ||= closing !== undefined && hasServed
    closing?.database.close()
  })
  yield* Effect.addFinalizer(() => {
    isReleased = true
    return Effect.ignore(close)
  })

  /** What is open, if it still is the file that the path leads to; otherwise it is let go of. */
  const current = Effect.gen(function* () {
    if (connection === undefined) return undefined
    const found = yield* stat(path)
    const same = connection.inode === found?.ino
    if (same && found !== undefined && found.size > 0n) return connection
    // Truncated in place: out of the way with it, or the last one to close would write its pages back into it.
    if (same) yield* attempt(() => Fs.rmSync(path, { force: true }))
    yield* close
    return undefined
  })

  const connect = Effect.fnUntraced(function* (create: boolean) {
    // Nobody would close it again.
    if (isReleased) return yield* new Unavailable({ message: "the layer that used this file was released" })
    const opened = yield* open(path, create, locked.wait)
    connection = opened
    hasServed = false
    version = yield* attempt(() => opened.tables.dataVersion())
    return opened
  })

  const tooLong = () =>
    Effect.fail(new TimedOut({ message: `other processes kept it locked for ${Duration.format(deadline)}` }))

  const use = <A>(kind: "DEFERRED" | "IMMEDIATE", create: boolean, f: (tables: Tables) => A) =>
    Effect.gen(function* () {
      const { database, tables } = (yield* current) ?? (yield* connect(create))
      const answer = yield* attempt(() => transaction(database, kind, () => f(tables)))
      hasServed = true
      return answer
    }).pipe(
      Effect.tapError(({ _tag }) => (_tag === "Unreadable" || _tag === "Unavailable" ? close : Effect.void)),
      Effect.uninterruptible,
      Semaphore.withPermit(turn),
      Effect.retry({ schedule: locked.retry, while: (failure) => failure._tag === "Locked" }),
      Effect.catchTag("Locked", tooLong),
      Effect.timeoutOrElse({ duration: deadline, orElse: tooLong })
    )

  return {
    read: (f) => use("DEFERRED", false, f),
    write: (f, create = false) => use("IMMEDIATE", create, f),
    look: Effect.gen(function* () {
      const file = yield* current
      if (isLost) {
        isLost = false
        return "gone"
      }
      if (file === undefined) return "idle"
      const before = version
      version = yield* attempt(() => file.tables.dataVersion())
      return version === before ? "same" : "changed"
    }).pipe(
      Effect.orElseSucceed(() => "changed" as const),
      Effect.uninterruptible,
      Semaphore.withPermit(turn)
    )
  }
})
