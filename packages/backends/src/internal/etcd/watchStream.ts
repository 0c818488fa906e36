/**
 * All watches of one client over one gRPC stream.
 *
 * etcd answers the creations on a stream in order, so the first that waits is the one that was created. What is split
 * into fragments is put together again. A silent stream is asked for a sign of life, which even an idle server gives:
 * two heartbeats after the last one it is dead. A stream that dies fails every watch on it, once.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as RcRef from "effect/RcRef"
import type * as Scope from "effect/Scope"
import type { IEvent, IResponseHeader, IWatchCreateRequest, IWatchRequest, IWatchResponse } from "etcd3"
import * as Policy from "@muster/core/Policy"
import * as Duplex from "./duplex.ts"
import * as GrpcError from "./grpcError.ts"
import * as Lifespan from "./lifespan.ts"
import type { Members } from "./members.ts"

/** What etcd says on a watch after its creation. */
type Message =
  | { readonly _tag: "Events"; readonly events: ReadonlyArray<IEvent> }
  /** The revision to start from is not there any more. */
  | { readonly _tag: "Compacted" }

interface Watch {
  /** The answer to the creation: the state of the store at that moment. */
  readonly header: IResponseHeader
  /** Whether this server is of a version that is known to lose events. */
  readonly losesEvents: boolean
  readonly messages: Queue.Dequeue<Message, GrpcError.GrpcError>
}

export interface WatchStreams {
  /** Creates a watch that is cancelled with the scope; within `Policy.CallDeadline`. */
  readonly create: (request: IWatchCreateRequest) => Effect.Effect<Watch, GrpcError.GrpcError, Scope.Scope>
}

interface Sink {
  readonly created: Queue.Queue<IResponseHeader, GrpcError.GrpcError>
  readonly messages: Queue.Queue<Message, GrpcError.GrpcError>
  readonly parts: Array<IEvent>
  id: string | undefined
}

/**
 * A watch of an empty range. Every version refuses it at once, whatever its other watches wait for, and keeps nothing of
 * it. A progress request is not answered by etcd 3.6.2 (3.5.22, 3.4.38) while any watch of the stream waits for a
 * revision to come, as all of ours do in a store that is not written to.
 */
const question: IWatchCreateRequest = { key: Buffer.from("muster"), range_end: Buffer.from("muster") }

type Stream = Effect.Success<ReturnType<typeof open>>

export const make = Effect.fnUntraced(function* (members: Members): Effect.fn.Return<WatchStreams, never, Scope.Scope> {
  const deadline = yield* Policy.CallDeadline
  const heartbeat = yield* Policy.Heartbeat
  const shared = yield* RcRef.make({ acquire: open(members, heartbeat) })

  /** A stream whose token has expired keeps its watches, but creates no more. */
  const leave = ({ connection, life }: Stream, error: GrpcError.GrpcError) => {
    if (!GrpcError.isStaleToken(error)) return
    members.doubt(connection, error)
    life.end(error)
  }

  const create = Effect.fnUntraced(function* (request: IWatchCreateRequest) {
    const stream = yield* Lifespan.living(shared)
    const sink = yield* Effect.acquireRelease(stream.add(request), stream.remove)
    const heard = stream.heard()
    const header = yield* Queue.take(sink.created).pipe(
      Effect.timeoutOrElse({
        duration: deadline,
        orElse: () => {
          const error = GrpcError.timedOut("the watch was not created in time")
          // One that says other things meanwhile is only busy.
          if (stream.heard() === heard) stream.kill(error)
          return Effect.fail(error)
        }
      }),
      Effect.tapError((error) => Effect.sync(() => leave(stream, error)))
    )
    return { header, losesEvents: stream.connection.losesEvents, messages: sink.messages }
  })

  return { create: (request) => Effect.retry(create(request), { times: 1, while: GrpcError.isStaleToken }) }
})

const open = Effect.fnUntraced(function* (members: Members, heartbeat: Duration.Duration) {
  /** Whose creation is answered next; `undefined` where nobody waits for it any more, or ever did. */
  const waiting: Array<Sink | undefined> = []
  const active = new Map<string, Sink>()
  const clock = yield* Clock.Clock
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  let heardAt = now()

  const onMessage = (response: IWatchResponse) => {
    heardAt = now()
    if (response.created) return onCreated(response)
    const sink = active.get(response.watch_id)
    if (sink === undefined) return
    if (response.canceled) {
      // etcd keeps this one until it is cancelled, as it is with its scope.
      if (response.compact_revision !== "0") return void Queue.offerUnsafe(sink.messages, { _tag: "Compacted" })
      active.delete(response.watch_id)
      return fail(sink, GrpcError.fromReason(response.cancel_reason))
    }
    for (const event of response.events) sink.parts.push(event)
    if (response.fragment || sink.parts.length === 0) return
    Queue.offerUnsafe(sink.messages, { _tag: "Events", events: sink.parts.splice(0) })
  }

  const onCreated = (response: IWatchResponse) => {
    const sink = waiting.shift()
    if (response.canceled) return sink && fail(sink, GrpcError.fromReason(response.cancel_reason))
    if (sink === undefined) return cancel(response.watch_id)
    sink.id = response.watch_id
    active.set(response.watch_id, sink)
    Queue.offerUnsafe(sink.created, response.header)
  }

  const onDeath = (error: GrpcError.GrpcError) => {
    for (const sink of [...waiting.splice(0), ...active.values()]) if (sink !== undefined) fail(sink, error)
    active.clear()
  }

  const duplex = yield* Duplex.open<IWatchRequest, IWatchResponse>({
    members,
    start: (etcd, options) => etcd.watchClient.watch(options),
    onMessage,
    onDeath
  })
  // How long it took to open was no silence.
  heardAt = now()
  const cancel = (watch_id: string) => duplex.write({ cancel_request: { watch_id } })

  const ask = (create_request: IWatchCreateRequest, sink?: Sink) => {
    waiting.push(sink)
    duplex.write({ create_request })
  }

  const add = (create_request: IWatchCreateRequest) =>
    Effect.gen(function* () {
      const created = yield* Queue.unbounded<IResponseHeader, GrpcError.GrpcError>()
      const messages = yield* Queue.unbounded<Message, GrpcError.GrpcError>()
      const sink: Sink = { created, messages, parts: [], id: undefined }
      const failure = duplex.life.failure()
      if (failure !== undefined) fail(sink, failure)
      else ask(create_request, sink)
      return sink
    })

  const remove = (sink: Sink) =>
    Effect.sync(() => {
      const place = waiting.indexOf(sink)
      if (place >= 0) waiting[place] = undefined
      if (sink.id !== undefined && active.delete(sink.id)) cancel(sink.id)
    })

  /** Asks after one silent heartbeat, gives up after another. */
  const listen = Effect.gen(function* () {
    const beat = Duration.toMillis(heartbeat)
    let askedAfter: number | undefined
    while (true) {
      const silence = now() - heardAt
      if (silence >= 2 * beat) {
        const told = Duration.format(Duration.times(heartbeat, 2))
        return duplex.kill(GrpcError.timedOut(`the watch was silent for ${told}`))
      }
      if (silence >= beat && askedAfter !== heardAt) {
        askedAfter = heardAt
        ask(question)
      }
      const rest = (silence < beat ? beat : 2 * beat) - silence
      const [took] = yield* Effect.timed(Effect.sleep(Duration.millis(rest)))
      // If it was us who slept (a stall, a suspend), what came meanwhile is still to be read: that counts as a sign.
      if (Duration.toMillis(took) > rest + beat / 2) heardAt = now()
    }
  })
  yield* Effect.forkScoped(listen)

  return { ...duplex, add, remove }
})

const fail = (sink: Sink, error: GrpcError.GrpcError) => {
  const cause = Cause.fail(error)
  Queue.failCauseUnsafe(sink.created, cause)
  Queue.failCauseUnsafe(sink.messages, cause)
}
