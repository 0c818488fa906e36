/**
 * What SQLite and the file system answer, as the reasons of a RegistryError.
 *
 * Two answers are not for callers: `Locked` is waited for, and `Absent` means that there is no registry in the file
 * although its folder is there, which each call reads in its own way.
 */
import * as Data from "effect/Data"
import {
  Exhausted,
  PermissionDenied,
  type RegistryErrorReason,
  Unavailable,
  Unreadable
} from "@muster/core/RegistryError"

/** Another connection is writing. */
export class Locked extends Data.TaggedError("Locked")<{ readonly cause: unknown }> {}

/** The file is missing or empty, its folder is there. */
export class Absent extends Data.TaggedError("Absent")<{}> {}

/** Everything that using the file may fail with. */
export type Failure = RegistryErrorReason | Locked | Absent

const field = (error: unknown, name: "errcode" | "code"): unknown =>
  typeof error === "object" && error !== null ? Object.getOwnPropertyDescriptor(error, name)?.value : undefined

/** SQLITE_READONLY_DBMOVED: the file was replaced under an open transaction. */
const moved = 1032

/** The reason for an error of `node:sqlite` or `node:fs`. Result codes: https://sqlite.org/rescode.html */
export const fromUnknown = (cause: unknown): RegistryErrorReason | Locked => {
  const message = cause instanceof Error ? cause.message : String(cause)
  const code = field(cause, "errcode")
  if (typeof code !== "number") {
    return ["EACCES", "EPERM", "EROFS"].includes(String(field(cause, "code")))
      ? new PermissionDenied({ message: `${message}; give this process access to the file and its folder`, cause })
      : new Unavailable({ message, cause })
  }
  // The low byte of an extended result code is its primary one.
  switch (code & 0xff) {
    case 5: // SQLITE_BUSY
    case 6: // SQLITE_LOCKED
      return new Locked({ cause })
    case 3: // SQLITE_PERM
    case 23: // SQLITE_AUTH
      return new PermissionDenied({ message, cause })
    case 8: // SQLITE_READONLY
      return code === moved
        ? new Unavailable({ message: "the file was replaced while it was written", cause })
        : new PermissionDenied({
            message: "the file or its folder cannot be written; give this process write access to both",
            cause
          })
    case 13: // SQLITE_FULL
      return new Exhausted({ message: `${message}; make room on the disk`, cause })
    case 1: // SQLITE_ERROR: a table is missing
    case 11: // SQLITE_CORRUPT
    case 26: // SQLITE_NOTADB
      return new Unreadable({ message: `${message}; remove it, and every server puts itself into a new one`, cause })
    case 19: // SQLITE_CONSTRAINT
      return new Unreadable({ message: `the file does not take it: ${message}`, cause })
    default:
      return new Unavailable({ message, cause })
  }
}
