/**
 * Following one service: a full read and the changes right after it, or the changes after a cursor.
 *
 * A cursor resumes only if the history still has everything after it: the store is asked for that revision first. What
 * etcd cannot tell any more (compaction, a store that went back) becomes a new Reset in the same stream, at a moment of
 * its own so that not every client reads at once. Servers that are known to lose events around a resume get a full read
 * soon after one. With no leader anywhere, whoever knows nothing yet is told what one member has, and then the failure.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { IEvent } from "etcd3"
import type { Change, Cursor } from "@muster/core/Change"
import type { ServiceName } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import * as GrpcError from "./grpcError.ts"
import { after, type Layout, type Reader } from "./layout.ts"
import * as Listing from "./listing.ts"
import type { Members } from "./members.ts"
import * as Position from "./position.ts"
import type { WatchStreams } from "./watchStream.ts"

type Said = Queue.Enqueue<Change>

/** Changes that wait for a slow listener, before the watch waits for it. */
const buffered = 256

export const make = Effect.fnUntraced(function* (members: Members, streams: WatchStreams, layout: Layout) {
  const pageSize = yield* Policy.PageSize
  const reading = yield* Semaphore.make(yield* Policy.ReadConcurrency)
  const spread = Duration.toMillis(yield* Policy.Spread)
  /** The newest revision that anybody was told: nothing older is worth telling. */
  let newest = 0n

  const atSomeMoment = Effect.flatMap(Random.nextBetween(0, spread), (millis) => Effect.sleep(Duration.millis(millis)))

  const list = (folder: string) => reading.withPermits(1)(Listing.read(members.call, folder, { pageSize }))

  /** Whether everything after this position can still be told. What the layout has to remember is read as of then. */
  const resumes = (folder: string, from: Position.Position, reader: Reader) => {
    const revision = String(from.revision)
    const asked = layout.remembers
      ? reading.withPermits(1)(Listing.read(members.call, folder, { pageSize, revision }))
      : Effect.map(
          members.call((etcd, options) =>
            etcd.kv.range({ key: Buffer.from(folder), revision, count_only: true }, options)
          ),
          ({ header }) => ({ head: header, entries: [] })
        )
    return asked.pipe(
      Effect.map(({ entries, head }) => {
        if (!Position.continues(Position.fromHeader(head), from)) return false
        reader.reset(entries)
        return true
      }),
      Effect.catchIf(GrpcError.isOutOfRange, () => Effect.succeed(false))
    )
  }

  const reset = (reader: Reader, { entries, head }: Listing.Listing, said: Said) => {
    const position = Position.fromHeader(head)
    if (position.revision > newest) newest = position.revision
    const { endpoints, skipped } = reader.reset(entries)
    return Effect.as(
      Queue.offer(said, { _tag: "Reset", endpoints, skipped, cursor: Position.toCursor(position) }),
      position
    )
  }

  /** What one member has, unless we know better, and then why it is not to be relied on. */
  const degraded = (folder: string, reader: Reader, said: Said) => (error: GrpcError.GrpcError) =>
    reading
      .withPermits(1)(Listing.read(members.anyone, folder, { pageSize, serializable: true }))
      .pipe(
        Effect.flatMap((listing) =>
          BigInt(listing.head.revision) < newest ? Effect.void : reset(reader, listing, said)
        ),
        Effect.ignore,
        Effect.andThen(Effect.fail(error))
      )

  /** Ends when the service has to be read as a whole again. */
  const follow = Effect.fnUntraced(function* (folder: string, reader: Reader, from: Cursor | undefined, said: Said) {
    const known = Position.fromCursor(from)
    const resumed = known !== undefined && (yield* resumes(folder, known, reader))
    if (known !== undefined && !resumed) yield* atSomeMoment
    const start = resumed
      ? known
      : yield* list(folder).pipe(
          Effect.catchIf((error) => from === undefined && GrpcError.isTransient(error), degraded(folder, reader, said)),
          Effect.flatMap((listing) => reset(reader, listing, said))
        )

    const { header, losesEvents, messages } = yield* streams.create({
      key: Buffer.from(folder),
      range_end: after(folder),
      start_revision: String(start.revision + 1n),
      fragment: true
    })
    // A member that lags behind the others gets there; a store that went back does not.
    if (!Position.continues(Position.fromHeader(header), start) && !(yield* resumes(folder, start, reader))) {
      return yield* atSomeMoment
    }
    if (resumed) yield* Queue.offer(said, { _tag: "Resumed", cursor: Position.toCursor(start) })

    const hear = Effect.gen(function* () {
      let position = start
      while (true) {
        for (const message of yield* Queue.takeAll(messages)) {
          if (message._tag === "Compacted") return yield* atSomeMoment
          for (const events of byRevision(message.events)) {
            const revision = BigInt(events[0].kv.mod_revision)
            // Some servers say again what they said before.
            if (revision <= position.revision) continue
            position = { ...start, revision }
            if (revision > newest) newest = revision
            const cursor = Position.toCursor(position)
            yield* Queue.offer(said, { _tag: "Changed", ...reader.changed(events), cursor })
          }
        }
      }
    })
    yield* resumed && losesEvents ? Effect.raceFirst(hear, atSomeMoment) : hear
  })

  return (service: ServiceName, from: Cursor | undefined): Stream.Stream<Change, GrpcError.GrpcError> =>
    Stream.callback<Change, GrpcError.GrpcError>(
      (queue) =>
        Effect.gen(function* () {
          const folder = layout.folder(service)
          const reader = layout.reader(service)
          yield* Effect.scoped(follow(folder, reader, from, queue))
          while (true) yield* Effect.scoped(follow(folder, reader, undefined, queue))
        }),
      { bufferSize: buffered, strategy: "suspend" }
    )
})

type Together = readonly [IEvent, ...Array<IEvent>]

/** However many revisions come in one message, each of them is one change. */
function* byRevision(events: ReadonlyArray<IEvent>): Generator<Together> {
  let together: [IEvent, ...Array<IEvent>] | undefined
  for (const event of events) {
    if (together?.[0].kv.mod_revision === event.kv.mod_revision) together.push(event)
    else {
      if (together !== undefined) yield together
      together = [event]
    }
  }
  if (together !== undefined) yield together
}
