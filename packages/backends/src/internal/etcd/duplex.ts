/**
 * One open stream to etcd, in both directions, with one end: whatever etcd3 and gRPC report of it (an error, a status,
 * an end, each of them up to twice), the stream dies once, for one reason, and everybody who uses it hears of it.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { IDuplexStream } from "etcd3"
import * as Policy from "@muster/core/Policy"
import type { Connection, Send } from "./connection.ts"
import * as GrpcError from "./grpcError.ts"
import * as Lifespan from "./lifespan.ts"
import type { Members } from "./members.ts"

export interface Duplex<Request> {
  readonly connection: Connection
  readonly write: (request: Request) => void
  /** How many messages have come so far: the sign of life. */
  readonly heard: () => number
  /** Declares it dead. */
  readonly kill: (error: GrpcError.GrpcError) => void
  /** Ends when nothing new is to be begun on it, at the latest when it dies. */
  readonly life: Lifespan.Lifespan
}

export interface Options<Request, Response> {
  readonly members: Members
  readonly start: Send<IDuplexStream<Request, Response>>
  /** Called for each message, synchronously; must not throw. */
  readonly onMessage: (response: Response) => void
  /** Called once, synchronously; must not throw. */
  readonly onDeath: (error: GrpcError.GrpcError) => void
}

/**
 * Opens a stream on the shared connection and holds that connection for as long as the stream is open. Opening may take
 * half of `Policy.CallDeadline`, because it may mean to log in again, and leaves time to ask another member.
 */
export const open = Effect.fnUntraced(function* <Request, Response>(
  options: Options<Request, Response>
): Effect.fn.Return<Duplex<Request>, GrpcError.GrpcError, Scope.Scope> {
  const { members } = options
  const connection = yield* members.connection
  const patience = Duration.times(yield* Policy.CallDeadline, 0.5)
  const life = Lifespan.make()
  let dead = false
  let heard = 0

  const kill = (error: GrpcError.GrpcError) => {
    if (dead) return
    members.doubt(connection, error)
    end(error)
  }

  const end = (error: GrpcError.GrpcError) => {
    if (dead) return
    dead = true
    life.end(error)
    options.onDeath(error)
  }

  const opened = connection.send(options.start).pipe(
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => Effect.fail(GrpcError.timedOut(`${connection.host} opens no stream`))
    }),
    Effect.tapError((error) => Effect.sync(() => members.doubt(connection, error)))
  )
  const stream = yield* Effect.acquireRelease(
    opened,
    // Closed by us it says nothing about the member, which reports it as a cancellation.
    (stream) =>
      Effect.sync(() => {
        end(GrpcError.unavailable("the stream was closed"))
        stream.cancel()
      }),
    { interruptible: true }
  )
  stream.on("data", (response) => {
    heard++
    options.onMessage(response)
  })
  stream.on("error", (error) => kill(GrpcError.fromUnknown(error)))
  stream.on("end", () => kill(GrpcError.unavailable("the stream came to its end")))
  return { connection, write: (request) => stream.write(request), heard: () => heard, kill, life }
})
