/**
 * What is in the file of a Local registry: leases, entries, and a log that the file writes by itself.
 *
 * Triggers keep the three in step whoever writes, be it a person with an SQLite shell: an entry that is put or removed
 * is logged under the next revision, and a lease that goes takes its entry along.
 */
import type { DatabaseSync, SQLOutputValue } from "node:sqlite"
import type { Endpoint } from "@muster/core/Endpoint"
import type { Extent } from "../revisionLog.ts"

/** Marks a file as Muster's ("mstr"), and its layout. */
const applicationId = 0x6d737472
const version = 1

const layout = `
  CREATE TABLE registry (history TEXT NOT NULL, inode TEXT NOT NULL) STRICT;
  CREATE TABLE leases (
    lease TEXT PRIMARY KEY, service TEXT NOT NULL, id TEXT NOT NULL, ttl INTEGER NOT NULL, beat INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE entries (
    service TEXT NOT NULL, id TEXT NOT NULL, value TEXT NOT NULL, lease TEXT, PRIMARY KEY (service, id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE log (
    revision INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, id TEXT NOT NULL, value TEXT
  ) STRICT;
  CREATE TRIGGER put AFTER INSERT ON entries BEGIN
    INSERT INTO log (service, id, value) VALUES (NEW.service, NEW.id, NEW.value);
  END;
  CREATE TRIGGER changed AFTER UPDATE ON entries WHEN (OLD.service, OLD.id, OLD.value) IS NOT (NEW.service, NEW.id, NEW.value) BEGIN
    INSERT INTO log (service, id) SELECT OLD.service, OLD.id WHERE (OLD.service, OLD.id) IS NOT (NEW.service, NEW.id);
    INSERT INTO log (service, id, value) VALUES (NEW.service, NEW.id, NEW.value);
  END;
  CREATE TRIGGER removed AFTER DELETE ON entries BEGIN
    INSERT INTO log (service, id) VALUES (OLD.service, OLD.id);
  END;
  CREATE TRIGGER ended AFTER DELETE ON leases BEGIN
    DELETE FROM entries WHERE service = OLD.service AND id = OLD.id AND lease = OLD.lease;
  END;
`

/** What a file turns out to be. */
export const kindOf = (database: DatabaseSync): "registry" | "empty" | "foreign" => {
  const [id, layout, objects] = ["application_id", "user_version", "schema_version"].map((pragma) =>
    integer(database.prepare(`PRAGMA ${pragma}`).get()?.[pragma])
  )
  if (id === applicationId && layout === version) return "registry"
  return id === 0 && layout === 0 && objects === 0 ? "empty" : "foreign"
}

/** Lays out an empty file; belongs into a transaction. */
export const create = (database: DatabaseSync, { history, inode }: Identity): void => {
  database.exec(layout)
  database.prepare("INSERT INTO registry VALUES (?, ?)").run(history, String(inode))
  database.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${version}`)
}

/** Which registry this is, and in which file it was laid out: a copy is in another one. */
export interface Identity {
  readonly history: string
  readonly inode: bigint
}

/** Who the file says it is. */
export const identity = (database: DatabaseSync): Identity => {
  const row = database.prepare("SELECT history, inode FROM registry").get()
  return { history: text(row?.["history"]), inode: BigInt(text(row?.["inode"]) || 0) }
}

/** An entry as it stands in the file. */
export interface Row {
  readonly id: string
  readonly value: string
  readonly lease: string | undefined
}

/** A line of the log; without a value the entry was removed. */
export interface Logged {
  readonly revision: number
  readonly id: string
  readonly value: string | undefined
}

/** A lease, and how often it was renewed. */
export interface Beat {
  readonly lease: string
  readonly ttl: number
  readonly beat: number
}

/** A lease to be written. */
export interface Grant {
  readonly lease: string
  readonly endpoint: Pick<Endpoint, "service" | "id">
  readonly ttl: number
}

/** The statements on an open file, prepared once; each is one step of somebody's transaction. */
export const prepare = (database: DatabaseSync, history: string) => {
  const sql = (text: string) => database.prepare(text)
  const extent = sql(
    "SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'log') AS last, (SELECT min(revision) FROM log) AS first"
  )
  const dataVersion = sql("PRAGMA data_version")
  const entries = sql("SELECT id, value, lease FROM entries WHERE service = ?")
  const entry = sql("SELECT id, value, lease FROM entries WHERE service = ? AND id = ?")
  const log = sql("SELECT revision, id, value FROM log WHERE revision > ? AND service = ? ORDER BY revision")
  const touched = sql("SELECT DISTINCT service, id FROM log WHERE revision > ?")
  const beats = sql("SELECT lease, ttl, beat FROM leases")
  const put = sql(
    `INSERT INTO entries (service, id, value, lease) VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET value = excluded.value, lease = excluded.lease`
  )
  const grant = sql("INSERT INTO leases (lease, service, id, ttl, beat) VALUES (?, ?, ?, ?, 0)")
  const holds = sql("SELECT lease FROM leases WHERE lease = ?")
  const beat = sql("UPDATE leases SET beat = beat + 1 WHERE lease = ?")
  const end = sql("DELETE FROM leases WHERE lease = ?")
  const expire = sql("DELETE FROM leases WHERE lease = ? AND beat = ?")
  const trim = sql("DELETE FROM log WHERE revision <= (SELECT seq FROM sqlite_sequence WHERE name = 'log') - ?")

  return {
    extent: (): Extent => {
      const row = extent.get()
      const last = integer(row?.["last"])
      return { history, last, trimmed: row?.["first"] === null ? last : integer(row?.["first"]) - 1 }
    },
    /** Another number whenever another connection has committed. */
    dataVersion: (): number => integer(dataVersion.get()?.["data_version"]),
    entries: (service: string): ReadonlyArray<Row> => entries.all(service).map(row),
    entry: (service: string, id: string): Row | undefined => {
      const found = entry.get(service, id)
      return found && row(found)
    },
    log: (service: string, after: number): ReadonlyArray<Logged> =>
      log.all(after, service).map(({ id, revision, value }) => ({
        revision: integer(revision),
        id: text(id),
        value: value === null ? undefined : text(value)
      })),
    /** The keys of what was put or removed after a revision. */
    touched: (after: number): ReadonlyArray<string> =>
      touched.all(after).map(({ id, service }) => `${text(service)}/${text(id)}`),
    beats: (): ReadonlyArray<Beat> =>
      beats.all().map(({ beat, lease, ttl }) => ({ lease: text(lease), ttl: integer(ttl), beat: integer(beat) })),
    grant: ({ endpoint, lease, ttl }: Grant) => grant.run(lease, endpoint.service, endpoint.id, ttl),
    put: ({ id, service }: Grant["endpoint"], value: string, lease: string) => put.run(service, id, value, lease),
    holds: (lease: string): boolean => holds.get(lease) !== undefined,
    beat: (lease: string) => beat.run(lease),
    end: (lease: string) => end.run(lease),
    /** Ends the lease unless it was renewed meanwhile. */
    expire: ({ beat, lease }: Beat) => expire.run(lease, beat),
    /** Keeps this many revisions. */
    trim: (length: number) => trim.run(length)
  }
}

/** The statements on an open file. */
export type Tables = ReturnType<typeof prepare>

function row({ id, lease, value }: Record<string, SQLOutputValue>): Row {
  return { id: text(id), value: text(value), lease: lease === null ? undefined : text(lease) }
}

function text(value: SQLOutputValue | undefined): string {
  return typeof value === "string" ? value : ""
}

function integer(value: SQLOutputValue | undefined): number {
  return typeof value === "number" ? value : 0
}
