/**
 * Claiming an instance id in etcd, keeping it, and giving it back.
 *
 * A registration is a lease under an id that we chose and an entry that was claimed for it; a new lease is in place
 * before the old one goes. A renewal is confirmed when etcd has both the lease and the entry. What cannot be read is no
 * reason to give up a lease that lives.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { IKeyValue, ITxnRequest } from "etcd3"
import { Endpoint } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import type { Lease } from "@muster/core/Registry"
import * as Reason from "@muster/core/RegistryError"
import { outranks, superseded } from "../claim.ts"
import * as Claims from "./claims.ts"
import type * as GrpcError from "./grpcError.ts"
import type { KeepAlive } from "./keepAlive.ts"
import type { Layout } from "./layout.ts"
import * as LeaseGrant from "./leaseGrant.ts"
import * as Lookup from "./lookup.ts"
import type { Members } from "./members.ts"
import * as Turns from "./turns.ts"

type Failure = GrpcError.GrpcError | Reason.RegistryErrorReason

const nameOf = ({ id, service }: Endpoint) => `${service}/${id}`

export const make = Effect.fnUntraced(function* (members: Members, keepAlive: KeepAlive, layout: Layout) {
  const deadline = yield* Policy.CallDeadline
  const { renewAfter } = yield* Policy.Lease
  const lookup = yield* Lookup.make(members)
  const grants = yield* LeaseGrant.make(members, keepAlive)
  const turns = yield* Turns.make(yield* Policy.RegisterRate, Duration.times(deadline, 0.5))
  const claim = yield* Claims.make(members, layout, turns.mayGoAlone)
  /** The lease under which each instance of ours was registered last. */
  const held = new Map<string, string>()

  const txn = (request: ITxnRequest) => members.call((etcd, options) => etcd.kv.txn(request, options))
  const keyOf = (lease: Lease) => layout.key(lease.endpoint, lease.id)

  const forget = (lease: Lease) => {
    const name = nameOf(lease.endpoint)
    if (held.get(name) === lease.id) held.delete(name)
  }

  /** Why a lease has no entry of its own: somebody else has the id, or nobody. */
  const diagnose = (lease: Lease, entry: IKeyValue | undefined, alive: boolean): Reason.RegistryErrorReason => {
    if (!alive) forget(lease)
    const holder = entry === undefined ? undefined : layout.claim(lease.endpoint.service, entry)
    if (holder !== undefined && outranks(holder, lease.endpoint)) {
      return superseded(holder)
    }
    // Where an entry cannot say when its process started, whoever wrote last has it: taking it back would flap.
    if (holder !== undefined && !layout.ownsLease && alive && holder.address !== lease.endpoint.address) {
      return new Reason.Superseded({ message: `${holder.address} registered under this id; give each one of its own` })
    }
    if (!alive) return new Reason.LeaseLost({ message: `lease ${lease.id} ran out or was revoked` })
    return entry === undefined
      ? new Reason.EntryMissing({ message: `lease ${lease.id} lives, but its entry ${keyOf(lease)} is gone` })
      : new Reason.LeaseLost({ message: `${keyOf(lease)} was written again without lease ${lease.id}` })
  }

  const register = Effect.fn("Etcd.register")(function* (endpoint: Endpoint, ttl: Duration.Duration) {
    const name = nameOf(endpoint)
    const value = yield* Effect.fromResult(layout.value(endpoint))
    // Whoever waits too long for his turn gives up while that costs nothing, not in the middle of his registration.
    yield* turns.take
    const { id, ttl: granted } = yield* grants.grant(name, ttl)
    const claimed = value === undefined ? Effect.undefined : claim(endpoint, value, id)
    const before = yield* claimed.pipe(
      Effect.tapError((error) => (error._tag === "Superseded" ? grants.abandon(name, id) : Effect.void)),
      Effect.onInterrupt(() => grants.abandon(name, id))
    )
    grants.used(name)
    for (const old of new Set([before, held.get(name)])) {
      if (old !== undefined && old !== "0" && old !== id) yield* grants.drop(old)
    }
    held.set(name, id)
    const lease: Lease = { id, ttl: granted, endpoint, lost: Effect.never }
    return lease
  })

  const update = Effect.fn("Etcd.update")(function* (
    lease: Lease,
    endpoint: Endpoint
  ): Effect.fn.Return<void, Failure> {
    const { id, service } = lease.endpoint
    const key = Buffer.from(keyOf(lease))
    const value = yield* Effect.fromResult(layout.value(new Endpoint({ ...endpoint, id, service })))
    const answer = yield* txn({
      compare: [{ key, target: "Lease", result: "Equal", lease: lease.id }],
      success: [
        value === undefined
          ? { request_delete_range: { key } }
          : { request_put: { key, value: Buffer.from(value), lease: lease.id } }
      ],
      failure: [{ request_range: { key } }]
    })
    if (answer.succeeded) return
    const entry = answer.responses[0]?.response_range.kvs[0]
    const alive = yield* keepAlive.renew(lease.id, deadline)
    return yield* Effect.fail(diagnose(lease, entry, alive))
  })

  const renew = Effect.fnUntraced(function* (lease: Lease): Effect.fn.Return<void, Failure> {
    const key = keyOf(lease)
    const alive = yield* keepAlive.renew(lease.id, Duration.min(deadline, Duration.times(lease.ttl, renewAfter)))
    const isOurs = (entry: IKeyValue | undefined) => entry?.lease === lease.id
    // A lease that lives is not given up because its entry cannot be read, nor by the word of one member alone.
    if (alive && (yield* Effect.orElseSucceed(Effect.map(lookup.near(key), isOurs), () => true))) return
    const read = yield* Effect.result(lookup.sure(key))
    const entry = read._tag === "Success" ? read.success : undefined
    if (alive && (read._tag === "Failure" || isOurs(entry))) return
    return yield* Effect.fail(diagnose(lease, entry, alive))
  })

  const revoke = Effect.fn("Etcd.revoke")(function* (lease: Lease) {
    forget(lease)
    yield* grants.revoke(lease.id)
  })

  return { register, update, renew, revoke }
})
