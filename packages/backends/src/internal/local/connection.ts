/**
 * Opening the file of a Local registry, and making it.
 *
 * SQLite keeps an index and recent writes in two files beside the one it is asked for, and finds them by name alone.
 * When a file is replaced while others have it open, what they keep beside it must never be read with the new one. So
 * a registry knows the inode of its own file: only that is opened, and a new one is laid out under an exclusive lock
 * that first removes what an earlier file left. A copy of a registry (a backup that was put back) is set aside, because
 * nobody can say what lies beside it; whoever is alive registers again. A file under several paths would be one registry
 * for each of them, and is refused.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { pathToFileURL } from "node:url"
import { Unavailable, Unreadable } from "@muster/core/RegistryError"
import { Absent, type Failure, fromUnknown } from "./failure.ts"
import * as Mounts from "./mounts.ts"
import * as Tables from "./tables.ts"

/** An open file. */
export interface Connection {
  readonly database: DatabaseSync
  readonly tables: Tables.Tables
  readonly inode: bigint
}

/** A random name that nothing else bears. */
export const randomName = Effect.map(Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER), (n) => n.toString(36))

/** Whatever it throws, as a failure. */
export const attempt = <A>(f: () => A): Effect.Effect<A, Failure> => Effect.try({ try: f, catch: fromUnknown })

/** The file that a path leads to. */
export const stat = (path: string) => attempt(() => Fs.statSync(path, { bigint: true, throwIfNoEntry: false }))

/** A transaction that is taken back unless `f` commits it. */
const within = <A>(
  database: DatabaseSync,
  kind: "DEFERRED" | "IMMEDIATE" | "EXCLUSIVE",
  f: (commit: () => void) => A
): A => {
  database.exec(`BEGIN ${kind}`)
  try {
    return f(() => database.exec("COMMIT"))
  } finally {
    if (database.isTransaction) database.exec("ROLLBACK")
  }
}

/** All of it or nothing. */
export const transaction = <A>(database: DatabaseSync, kind: "DEFERRED" | "IMMEDIATE", f: () => A): A =>
  within(database, kind, (commit) => {
    const result = f()
    commit()
    return result
  })

const url = (path: string, parameters: Readonly<Record<string, string>>) => {
  const url = pathToFileURL(path)
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  return url
}

/** Uses a database and closes it, or only if that fails. */
const withDatabase = <A, E>(
  open: () => DatabaseSync,
  use: (database: DatabaseSync) => Effect.Effect<A, E>,
  keep: boolean
): Effect.Effect<A, E | Failure> =>
  Effect.acquireUseRelease(attempt(open), use, (database, exit) =>
    keep && exit._tag === "Success" ? Effect.void : Effect.ignore(attempt(() => database.close()))
  )

/** Who the file says it is, without looking at what lies beside it; `undefined` where that cannot be said. */
const identify = (path: string) =>
  withDatabase(
    () => new DatabaseSync(url(path, { mode: "ro", immutable: "1" })),
    (database) => attempt(() => (Tables.kindOf(database) === "registry" ? Tables.identity(database) : undefined)),
    false
  ).pipe(Effect.orElseSucceed(() => undefined))

/** Whether others may come to this file by another path, where they would not find what lies beside this one. */
const hasOtherPaths = (path: string, { nlink }: Fs.BigIntStats) =>
  nlink > 1n || Mounts.isMountPoint(Mounts.mountinfo(), Fs.realpathSync(path))

/** What is to be opened at the path: its registry, or nothing yet. */
const survey = Effect.fnUntraced(function* (path: string, create: boolean) {
  const folder = Path.dirname(path)
  const found = yield* stat(path)
  if (found?.isDirectory() === true) return yield* new Unreadable({ message: `${path} is a folder; name a file` })
  if (found === undefined && !(yield* attempt(() => Fs.existsSync(folder)))) {
    return yield* new Unavailable({ message: `the folder ${folder} is not there` })
  }
  if (found !== undefined && (yield* attempt(() => hasOtherPaths(path, found)))) {
    return yield* new Unreadable({ message: `${path} is mounted or linked as a single file; mount its folder` })
  }
  const isEmpty = found === undefined || found.size === 0n
  const identity = isEmpty ? undefined : yield* identify(path)
  const isCopy = identity !== undefined && identity.inode !== found?.ino
  if ((isEmpty || isCopy) && !create) return yield* new Absent()
  yield* attempt(() => Fs.accessSync(found === undefined ? folder : path, Fs.constants.R_OK | Fs.constants.W_OK))
  if (isCopy) yield* attempt(() => Fs.renameSync(path, `${path}.copy`))
})

/** Makes a registry of an empty file; does nothing to any other, not even commit. */
const layOut = (database: DatabaseSync, path: string, history: string) =>
  within(database, "EXCLUSIVE", (commit) => {
    const found = Fs.statSync(path, { bigint: true, throwIfNoEntry: false })
    if (Tables.kindOf(database) !== "empty" || found?.size !== 0n) return
    for (const beside of ["-wal", "-shm"]) Fs.rmSync(path + beside, { force: true })
    Tables.create(database, { history, inode: found.ino })
    commit()
  })

const setUp = Effect.fnUntraced(function* (database: DatabaseSync, path: string, create: boolean) {
  const kind = attempt(() => Tables.kindOf(database))
  const replaced = new Unavailable({ message: "the file was replaced while it was opened" })
  if ((yield* kind) === "empty") {
    if (!create) return yield* new Absent()
    const history = yield* randomName
    yield* attempt(() => layOut(database, path, history))
  }
  if ((yield* kind) !== "registry") {
    const message = `${path} is no registry of this version of Muster; name another file`
    return yield* (yield* stat(path)) === undefined ? replaced : new Unreadable({ message })
  }
  yield* attempt(() => database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"))
  const { history, inode } = yield* attempt(() => Tables.identity(database))
  const there = yield* stat(path)
  if (there?.ino !== inode || (yield* identify(path))?.history !== history) return yield* replaced
  return { database, inode, tables: yield* attempt(() => Tables.prepare(database, history)) }
})

/** Opens the registry at an absolute path; with `create` it is made where there is none, though never its folder. */
export const open = Effect.fnUntraced(function* (
  path: string,
  create: boolean,
  wait: Duration.Duration
): Effect.fn.Return<Connection, Failure> {
  yield* survey(path, create)
  return yield* withDatabase(
    () => new DatabaseSync(url(path, { mode: create ? "rwc" : "rw" }), { timeout: Duration.toMillis(wait) }),
    (database) => setUp(database, path, create),
    true
  )
})
