/**
 * The renewals of all leases of one client over one gRPC stream, each answered within a deadline of its own.
 *
 * A lease that etcd does not know any more is an answer, not an error. When nothing at all is heard for a whole
 * deadline the stream is dead, and the next renewal opens another, at another member if there is one. A thousand leases
 * are renewed three hundred times a second: a renewal costs no fiber and no timer, one fiber keeps all the deadlines. What
 * a message costs is mostly the call into the socket, so renewals that follow each other soon are sent together.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as RcRef from "effect/RcRef"
import type * as Scope from "effect/Scope"
import type { ILeaseKeepAliveRequest, ILeaseKeepAliveResponse } from "etcd3"
import * as Policy from "@muster/core/Policy"
import * as Duplex from "./duplex.ts"
import * as GrpcError from "./grpcError.ts"
import * as Lifespan from "./lifespan.ts"
import type { Members } from "./members.ts"

export interface KeepAlive {
  /** Whether the lease lives on, with its full time to live. */
  readonly renew: (lease: string, within: Duration.Duration) => Effect.Effect<boolean, GrpcError.GrpcError>
}

type Answer = Deferred.Deferred<boolean, GrpcError.GrpcError>

interface Question {
  readonly answer: Answer
  /** On the monotonic clock, in nanoseconds. */
  readonly expiresAt: bigint
  /** How much the stream had heard when it was asked. */
  readonly heard: number
}

type Stream = Effect.Success<ReturnType<typeof open>>

const noAnswer = GrpcError.timedOut("the renewal was not answered in time")

export const make = Effect.fnUntraced(function* (members: Members): Effect.fn.Return<KeepAlive, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const deadline = yield* Policy.CallDeadline
  const idleAfter = yield* Policy.IdleAfter
  const shared = yield* RcRef.make({
    acquire: open(members, clock, Duration.times(deadline, 1 / 20)),
    idleTimeToLive: idleAfter
  })
  const now = () => clock.monotonicTimeNanosUnsafe()

  /** The stream as it was held last. It stays open for `idleAfter`: who has his answer by then need not hold it. */
  let recent: { readonly stream: Stream; readonly until: bigint } | undefined
  const unheld = Duration.toNanosUnsafe(idleAfter)

  const held = (expiresAt: bigint) =>
    Lifespan.living(shared).pipe(
      Effect.tap((stream) => Effect.sync(() => (recent = { stream, until: now() + unheld }))),
      Effect.timeoutOrElse({
        duration: Duration.nanos(expiresAt > now() ? expiresAt - now() : 0n),
        orElse: () => Effect.suspend(() => Effect.fail(members.outage() ?? noAnswer))
      })
    )

  const ask = (lease: string, expiresAt: bigint) =>
    Effect.suspend(() =>
      recent !== undefined && expiresAt < recent.until && recent.stream.life.failure() === undefined
        ? recent.stream.ask(lease, expiresAt)
        : Effect.scoped(Effect.flatMap(held(expiresAt), (stream) => stream.ask(lease, expiresAt)))
    )

  const renew = (lease: string, within: Duration.Duration) =>
    Effect.suspend(() => {
      const expiresAt = now() + Duration.toNanosUnsafe(within)
      return Effect.catchIf(
        ask(lease, expiresAt),
        (error) => error !== noAnswer && GrpcError.mayPassElsewhere(error),
        () => ask(lease, expiresAt)
      )
    })

  return { renew }
})

const open = Effect.fnUntraced(function* (members: Members, clock: Clock.Clock, tick: Duration.Duration) {
  const waiting = new Map<string, Question>()
  /** Those of them that are still to be sent, and when they must be. */
  let unsent: Array<string> = []
  let due = 0n
  let sentAt = 0n

  const duplex = yield* Duplex.open<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>({
    members,
    start: (etcd, options) => etcd.leaseClient.leaseKeepAlive(options),
    onMessage: ({ ID, TTL }) => {
      const question = waiting.get(ID)
      waiting.delete(ID)
      if (question !== undefined) Deferred.doneUnsafe(question.answer, Effect.succeed(TTL !== "0"))
    },
    onDeath: (error) => {
      // etcd renews one after the other: what it refuses is the first that waits, and the others may ask again.
      const [first, ...others] = waiting.values()
      const unasked = GrpcError.mayPassElsewhere(error)
        ? error
        : GrpcError.unavailable(`not asked, because of another lease: ${error.message}`)
      if (first !== undefined) Deferred.doneUnsafe(first.answer, Effect.fail(error))
      for (const { answer } of others) Deferred.doneUnsafe(answer, Effect.fail(unasked))
      waiting.clear()
      unsent = []
    }
  })

  const send = (now: bigint) => {
    sentAt = now
    for (const ID of unsent.splice(0)) duplex.write({ ID })
  }

  /** The first one goes at once; those that follow it within a sixth of the time that they have, together. */
  const enqueue = (lease: string, now: bigint, expiresAt: bigint) => {
    const patience = (expiresAt - now) / 6n
    const latest = now + patience
    if (unsent.length === 0 || latest < due) due = latest
    unsent.push(lease)
    if (patience < Duration.toNanosUnsafe(tick) || now - sentAt >= patience) send(now)
  }

  const ask = (lease: string, expiresAt: bigint) =>
    Effect.suspend(() => {
      const failure = duplex.life.failure()
      if (failure !== undefined) return Effect.fail(failure)
      const before = waiting.get(lease)
      if (before !== undefined) return Deferred.await(before.answer)
      const answer: Answer = Deferred.makeUnsafe()
      waiting.set(lease, { answer, expiresAt, heard: duplex.heard() })
      enqueue(lease, clock.monotonicTimeNanosUnsafe(), expiresAt)
      return Deferred.await(answer)
    })

  const expire = (now: bigint) => {
    let silent = false
    for (const [lease, { answer, expiresAt, heard }] of waiting) {
      if (expiresAt > now) continue
      waiting.delete(lease)
      Deferred.doneUnsafe(answer, Effect.fail(noAnswer))
      silent ||= heard === duplex.heard()
    }
    if (silent) duplex.kill(GrpcError.unavailable("renewals are not answered"))
  }

  /** If it was us who slept (a stall, a suspend), what came meanwhile is read before anything expires. */
  const watch = Effect.gen(function* () {
    while (true) {
      const [took] = yield* Effect.timed(Effect.sleep(tick))
      const now = clock.monotonicTimeNanosUnsafe()
      if (unsent.length > 0 && now >= due) send(now)
      if (Duration.isLessThan(took, Duration.times(tick, 2))) expire(now)
    }
  })
  yield* Effect.forkScoped(watch)

  return { ...duplex, ask }
})
