/**
 * The members of one etcd cluster as one: everybody shares one connection to one member that answers, until it does not.
 *
 * Any healthy member suffices: all are tried, each with a small head start over the next, those that failed last at the
 * end. One that failed is left for another and closed once its last user is done. An outage is told at once to the
 * first who meets it; whoever comes later waits for its end within his own deadline, so that nobody sleeps through it.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as RcRef from "effect/RcRef"
import * as Scope from "effect/Scope"
import * as Policy from "@muster/core/Policy"
import * as Connection from "./connection.ts"
import * as GrpcError from "./grpcError.ts"
import * as Lifespan from "./lifespan.ts"
import type { Access } from "./security.ts"

export interface Members {
  /** The connection that all share, held until the scope closes. Waits without end for the end of a known outage. */
  readonly connection: Effect.Effect<Connection.Connection, GrpcError.GrpcError, Scope.Scope>
  /** Why there is no connection right now, if that is known. */
  readonly outage: () => GrpcError.GrpcError | undefined
  /** Sends on the shared connection, once more on another if that may help; within `Policy.CallDeadline` altogether. */
  readonly call: <A>(send: Connection.Send<A>) => Effect.Effect<A, GrpcError.GrpcError>
  /** The same at any member that is there, even if it knows no leader: what it reads may be old. */
  readonly anyone: <A>(send: Connection.Send<A>) => Effect.Effect<A, GrpcError.GrpcError>
  /** Draws the conclusion from a failure: leaves the member, or forgets the token. */
  readonly doubt: (connection: Connection.Connection, error: GrpcError.GrpcError) => void
}

export const make = Effect.fnUntraced(function* (
  hosts: ReadonlyArray<string>,
  access: Access
): Effect.fn.Return<Members, never, Scope.Scope> {
  const headStart = yield* Policy.HeadStart
  const [shortest, longest] = yield* Policy.Reconnect
  const deadline = yield* Policy.CallDeadline
  const idleAfter = yield* Policy.IdleAfter

  /** When each host failed last, as a count of failures. */
  const failed = new Map<string, number>()
  let failures = 0
  let outage: GrpcError.GrpcError | undefined

  const noteFailure = (host: string) => failed.set(host, ++failures)

  const inOrder = Effect.map(
    Effect.forEach(hosts, (host) => Effect.map(Random.next, (draw) => ({ host, draw }))),
    (drawn) =>
      drawn
        .toSorted((a, b) => (failed.get(a.host) ?? 0) - (failed.get(b.host) ?? 0) || a.draw - b.draw)
        .map(({ host }) => host)
  )

  /** The first member that is connected, logged in and well; the others are let go. */
  const race = Effect.fnUntraced(function* (leaderless: boolean) {
    const errors: Array<GrpcError.GrpcError> = []
    const attempts = (yield* inOrder).map((host) => ({ host, scope: Scope.makeUnsafe() }))
    yield* Effect.addFinalizer(() => Effect.forEach(attempts, close, { discard: true }))
    const winner = yield* Effect.raceAll(
      attempts.map((attempt, place) =>
        Connection.open(attempt.host, access, leaderless).pipe(
          Scope.provide(attempt.scope),
          Effect.timeoutOrElse({
            duration: deadline,
            orElse: () => Effect.fail(GrpcError.timedOut(`${attempt.host} does not answer`))
          }),
          Effect.tapError((error) => {
            noteFailure(attempt.host)
            return Effect.sync(() => errors.push(error))
          }),
          Effect.map((connection) => ({ attempt, connection })),
          Effect.delay(Duration.times(headStart, place))
        )
      )
    ).pipe(Effect.mapError((error) => errors.find((one) => !GrpcError.isTransient(one)) ?? error))
    yield* Effect.forEach(
      attempts.filter((attempt) => attempt !== winner.attempt),
      close,
      { discard: true }
    )
    return winner.connection
  })

  const connect = Effect.gen(function* () {
    if (outage !== undefined) {
      yield* Effect.sleep(
        Duration.millis(yield* Random.nextBetween(Duration.toMillis(shortest), Duration.toMillis(longest)))
      )
    }
    const connection = yield* Effect.tapError(race(false), (error) => Effect.sync(() => (outage = error)))
    outage = undefined
    return connection
  })

  const shared = yield* RcRef.make({ acquire: connect, idleTimeToLive: idleAfter })

  const connection = Effect.suspend(() => {
    const living = Lifespan.living(shared)
    return outage === undefined ? living : Effect.retry(living, { while: GrpcError.isTransient })
  })

  const doubt = (connection: Connection.Connection, error: GrpcError.GrpcError) => {
    if (GrpcError.isStaleToken(error)) connection.forgetToken()
    else if (GrpcError.isMemberAtFault(error) && connection.life.end(error)) noteFailure(connection.host)
  }

  const call = <A>(send: Connection.Send<A>) =>
    Effect.suspend(() => {
      let used: Connection.Connection | undefined
      let sent = false
      const attempt = Effect.scoped(
        Effect.flatMap(connection, (connection) => {
          used = connection
          sent = true
          return connection.send(send).pipe(
            Effect.tapError((error) =>
              Effect.sync(() => {
                used = undefined
                doubt(connection, error)
              })
            )
          )
        })
      )
      const expired = Effect.suspend(() => {
        if (used === undefined && outage !== undefined) return Effect.fail(outage)
        const error = GrpcError.timedOut(`no answer within ${Duration.format(deadline)}`)
        if (used !== undefined) doubt(used, error)
        return Effect.fail(error)
      })
      return attempt.pipe(
        Effect.catchIf(
          (error) => sent && GrpcError.mayPassElsewhere(error),
          () => attempt
        ),
        Effect.timeoutOrElse({ duration: deadline, orElse: () => expired })
      )
    })

  const anyone = <A>(send: Connection.Send<A>) =>
    Effect.scoped(Effect.flatMap(race(true), (connection) => connection.send(send))).pipe(
      Effect.timeoutOrElse({
        duration: deadline,
        orElse: () => Effect.fail(GrpcError.timedOut(`no answer within ${Duration.format(deadline)}`))
      })
    )

  return { connection, outage: () => outage, call, anyone, doubt }
})

const close = ({ scope }: { readonly scope: Scope.Closeable }) => Scope.close(scope, Exit.void)
