/**
 * Leases under ids that we choose.
 *
 * A grant that was asked for without an answer is asked for again under the same id, however often: etcd then says that
 * it has it, which is as good as a grant. So no attempt leaves a lease behind that nobody knows.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Policy from "@muster/core/Policy"
import type { GrpcError } from "./grpcError.ts"
import * as Errors from "./grpcError.ts"
import type { KeepAlive } from "./keepAlive.ts"
import type { Members } from "./members.ts"

interface Granted {
  readonly id: string
  readonly ttl: Duration.Duration
}

export const make = Effect.fnUntraced(function* (members: Members, keepAlive: KeepAlive) {
  const scope = yield* Effect.scope
  const deadline = yield* Policy.CallDeadline
  /** The ids of grants that are not known to be in use yet. */
  const open = new Map<string, string>()

  const grant = Effect.fnUntraced(function* (
    name: string,
    ttl: Duration.Duration
  ): Effect.fn.Return<Granted, GrpcError> {
    const seconds = Math.max(1, Math.ceil(Duration.toSeconds(ttl)))
    const id = open.get(name) ?? (yield* freshId)
    open.set(name, id)
    const ask = members.call((etcd, options) => etcd.leaseClient.leaseGrant({ ID: id, TTL: seconds }, options))
    const answer = yield* Effect.result(ask).pipe(Effect.onInterrupt(() => abandon(name, id)))
    if (answer._tag === "Success") return { id, ttl: Duration.seconds(Number(answer.success.TTL)) }
    if (!Errors.isLeaseTaken(answer.failure)) return yield* answer.failure
    if (yield* keepAlive.renew(id, deadline)) return { id, ttl: Duration.seconds(seconds) }
    open.delete(name)
    return yield* grant(name, ttl)
  })

  /** A lease that is gone already is success. */
  const revoke = (id: string) =>
    members
      .call((etcd, options) => etcd.leaseClient.leaseRevoke({ ID: id }, options))
      .pipe(
        Effect.asVoid,
        Effect.catchIf(Errors.isLeaseGone, () => Effect.void)
      )

  /** Ends a lease in the background; one that cannot be reached runs out by itself. */
  const drop = (id: string) => Effect.asVoid(Effect.forkIn(Effect.ignore(revoke(id)), scope))

  /** Nobody will use this grant. */
  const abandon = (name: string, id: string) => {
    open.delete(name)
    return drop(id)
  }

  /** The lease carries its entry now: the next grant for this name is another one. */
  const used = (name: string) => void open.delete(name)

  return { grant, revoke, drop, abandon, used }
})

/** 63 random bits, never 0, which would leave the choice to etcd. */
const freshId = Effect.map(
  Effect.all([Random.nextIntBetween(1, 2 ** 31 - 1), Random.nextIntBetween(0, 2 ** 32 - 1)]),
  ([high, low]) => String((BigInt(high) << 32n) | BigInt(low))
)
