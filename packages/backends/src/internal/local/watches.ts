/**
 * The read port on a shared file: a watch reads the inventory once and then the log, after each notice.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Change, Cursor } from "@muster/core/Change"
import type { ServiceName } from "@muster/core/Endpoint"
import { RegistryError, type RegistryErrorReason, Unavailable } from "@muster/core/RegistryError"
import type { Resolver } from "@muster/core/Resolver"
import * as Entry from "../entry.ts"
import * as RevisionLog from "../revisionLog.ts"
import type { File } from "./file.ts"
import type * as Tables from "./tables.ts"

/** What one transaction reads for a watch: the whole inventory, or the log after its position. */
type Found =
  | { readonly cursor: Cursor; readonly history: string; readonly rows: ReadonlyArray<Tables.Row> }
  | { readonly cursor: Cursor; readonly history: string; readonly log: ReadonlyArray<Tables.Logged> }

const find =
  (service: ServiceName, from: Cursor | undefined) =>
  (tables: Tables.Tables): Found => {
    const extent = tables.extent()
    const { history, last } = extent
    const cursor = RevisionLog.cursor(history, last)
    const after = RevisionLog.resumable(from, extent)
    return after === undefined
      ? { cursor, history, rows: tables.entries(service) }
      : { cursor, history, log: after === last ? [] : tables.log(service, after) }
  }

/** What a line of the log says; a line about something that can be no instance says nothing. */
const changesOf =
  (service: ServiceName, history: string) =>
  ({ id, revision, value }: Tables.Logged): ReadonlyArray<Change> => {
    const cursor = RevisionLog.cursor(history, revision)
    const entry = value === undefined ? undefined : Entry.decode(service, id, value)
    if (entry === undefined) {
      return Entry.isInstanceId(id) ? [{ _tag: "Changed", cursor, deltas: [{ _tag: "Removed", id }], skipped: [] }] : []
    }
    return Entry.isEndpoint(entry)
      ? [{ _tag: "Changed", cursor, deltas: [{ _tag: "Put", endpoint: entry }], skipped: [] }]
      : [{ _tag: "Changed", cursor, deltas: [], skipped: [entry] }]
  }

/** Reading many rows lets others have a turn now and then. */
const inTurns = <A, B>(all: ReadonlyArray<A>, f: (one: A) => B) =>
  Effect.forEach(all, (one, n) =>
    (n % 256 === 255 ? Effect.as(Effect.yieldNow, one) : Effect.succeed(one)).pipe(Effect.map(f))
  )

/** The read port on this file. */
export const make = (file: File, registry: string, notice: RevisionLog.Notice): Resolver["Service"]["watch"] => {
  const read = Effect.fnUntraced(function* (service: ServiceName, from: Cursor | undefined) {
    const found = yield* file.read(find(service, from))
    const { cursor, history } = found
    if ("log" in found) {
      return { history, cursor, changes: (yield* inTurns(found.log, changesOf(service, history))).flat() }
    }
    const entries = yield* inTurns(found.rows, ({ id, value }) => Entry.decode(service, id, value))
    const reset: Change = { _tag: "Reset", cursor, ...Entry.partition(entries) }
    return { history, cursor, changes: [reset] }
  })

  /** A watch lives as long as the file that it began with. */
  return (service, from) =>
    Stream.suspend(() => {
      let began: string | undefined
      const readOn = (position: Cursor | undefined) =>
        Effect.filterOrFail(
          read(service, position),
          ({ history }) => (began ??= history) === history,
          () => new Unavailable({ message: "the file was replaced by another one" })
        )
      return RevisionLog.follow(from, readOn, notice)
    }).pipe(
      Stream.catchTag("Absent", () => Stream.fail(new Unavailable({ message: "nobody has registered in this file" }))),
      Stream.mapError((reason: RegistryErrorReason) => new RegistryError({ registry, key: service, reason }))
    )
}
