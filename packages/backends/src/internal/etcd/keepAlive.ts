/**
 * The renewals of all leases of one client over one gRPC stream, each answered within a deadline of its own.
 *
 * A lease that etcd does not know any more is an answer, not an error. When nothing at all is heard for a whole
 * deadline the stream is dead, and the next renewal opens another, at another member if there is one.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as RcRef from "effect/RcRef"
import type * as Scope from "effect/Scope"
import type { ILeaseKeepAliveRequest, ILeaseKeepAliveResponse } from "etcd3"
import * as Policy from "@muster/core/Policy"
import * as Duplex from "./duplex.ts"
import * as GrpcError from "./grpcError.ts"
import type { Members } from "./members.ts"

export interface KeepAlive {
  /** Whether the lease lives on, with its full time to live. */
  readonly renew: (lease: string, within: Duration.Duration) => Effect.Effect<boolean, GrpcError.GrpcError>
}

type Answer = Deferred.Deferred<boolean, GrpcError.GrpcError>

export const make = Effect.fnUntraced(function* (members: Members): Effect.fn.Return<KeepAlive, never, Scope.Scope> {
  const idleAfter = yield* Policy.IdleAfter
  const shared = yield* RcRef.make({ acquire: open(members), idleTimeToLive: idleAfter })

  const renew = (lease: string, within: Duration.Duration) => {
    let asked: Effect.Success<ReturnType<typeof open>> | undefined
    let heard = 0
    const ask = Effect.flatMap(Duplex.living(shared), (stream) => {
      asked = stream
      heard = stream.heard()
      return stream.ask(lease)
    })
    const expired = Effect.suspend(() => {
      const outage = asked === undefined ? members.outage() : undefined
      const error = outage ?? GrpcError.timedOut(`no answer within ${Duration.format(within)}`)
      if (asked?.heard() === heard) asked.kill(error)
      return Effect.fail(error)
    })
    return Effect.scoped(ask).pipe(
      Effect.retry({ times: 1, while: (error) => asked !== undefined && GrpcError.mayPassElsewhere(error) }),
      Effect.timeoutOrElse({ duration: within, orElse: () => expired })
    )
  }

  return { renew }
})

const open = Effect.fnUntraced(function* (members: Members) {
  const waiting = new Map<string, Answer>()

  const duplex = yield* Duplex.open<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>({
    members,
    start: (etcd, options) => etcd.leaseClient.leaseKeepAlive(options),
    onMessage: ({ ID, TTL }) => {
      const answer = waiting.get(ID)
      waiting.delete(ID)
      if (answer !== undefined) Deferred.doneUnsafe(answer, Effect.succeed(TTL !== "0"))
    },
    onDeath: (error) => {
      for (const answer of waiting.values()) Deferred.doneUnsafe(answer, Effect.fail(error))
      waiting.clear()
    }
  })

  const ask = (lease: string) =>
    Effect.suspend(() => {
      const failure = duplex.failure()
      if (failure !== undefined) return Effect.fail(failure)
      const before = waiting.get(lease)
      if (before !== undefined) return Deferred.await(before)
      const answer: Answer = Deferred.makeUnsafe()
      waiting.set(lease, answer)
      duplex.write({ ID: lease })
      return Deferred.await(answer)
    })

  return { ...duplex, ask }
})
