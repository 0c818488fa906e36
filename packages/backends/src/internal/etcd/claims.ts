/**
 * Puts entries under their leases: alone at once, and many together when many wait.
 *
 * An entry is only written over what was read of it, in one transaction, so that two claims to one id are decided by who
 * started later and never by who wrote last. Claims that come quickly after each other are gathered and put in one
 * transaction if none of their keys exists, as after a wipe, so that a thousand of them cost the registry little.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import type { ICompare, IKeyValue, IRequestOp } from "etcd3"
import type { Endpoint } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import type { Superseded } from "@muster/core/RegistryError"
import { outranks, superseded } from "../claim.ts"
import * as GrpcError from "./grpcError.ts"
import type { Layout } from "./layout.ts"
import type { Members } from "./members.ts"

type Failure = GrpcError.GrpcError | Superseded

interface Entry {
  readonly key: Buffer
  readonly value: Buffer
  readonly lease: string
  readonly endpoint: Endpoint
}

/** Succeeds with the lease that had the entry before, if it can be told. */
class Claim extends Request.Class<Entry, string | undefined, Failure> {}

/** etcd takes 128 operations in one transaction unless it is told otherwise. */
const most = 100

const compare = ({ key }: Entry, before?: IKeyValue): ICompare => ({
  key,
  target: "Mod",
  result: "Equal",
  mod_revision: before?.mod_revision ?? "0"
})

const put = ({ key, lease, value }: Entry): IRequestOp => ({ request_put: { key, value, lease } })

export const make = Effect.fnUntraced(function* (members: Members, layout: Layout, mayGoAlone: () => boolean) {
  const gather = yield* Policy.Gather

  const alone = Effect.fnUntraced(function* (entry: Entry): Effect.fn.Return<string | undefined, Failure> {
    let before: IKeyValue | undefined
    while (true) {
      const answer = yield* members.call((etcd, options) =>
        etcd.kv.txn(
          {
            compare: [compare(entry, before)],
            success: [put(entry)],
            failure: [{ request_range: { key: entry.key } }]
          },
          options
        )
      )
      if (answer.succeeded) return layout.ownsLease ? before?.lease : undefined
      before = answer.responses[0]?.response_range.kvs[0]
      // Our own put of an earlier attempt, whose answer was lost.
      if (before?.lease === entry.lease && before.value.equals(entry.value)) return undefined
      const holder = before === undefined ? undefined : layout.claim(entry.endpoint.service, before)
      if (holder !== undefined && outranks(holder, entry.endpoint)) {
        return yield* Effect.fail(superseded(holder))
      }
    }
  })

  /** Whether all of them were put: not if a key exists, a lease is gone, or two of them have one key. */
  const together = (entries: ReadonlyArray<Entry>) =>
    members
      .call((etcd, options) =>
        etcd.kv.txn({ compare: entries.map((entry) => compare(entry)), success: entries.map(put) }, options)
      )
      .pipe(
        Effect.map(({ succeeded }) => succeeded),
        Effect.catchIf(
          (error) => !GrpcError.isTransient(error),
          () => Effect.succeed(false)
        )
      )

  const resolver = RequestResolver.make<Claim>(
    Effect.fnUntraced(function* (claims) {
      if (claims.length > 1 && (yield* together(claims.map(({ request }) => request)))) {
        for (const claim of claims) claim.completeUnsafe(nothing)
        return
      }
      yield* Effect.forEach(
        claims,
        (claim) => Effect.map(Effect.exit(alone(claim.request)), (exit) => claim.completeUnsafe(exit)),
        { concurrency: "unbounded", discard: true }
      )
    })
  ).pipe(RequestResolver.setDelay(gather), RequestResolver.batchN(most))

  /** Answers with the lease that had the entry before, if that may be ended. */
  return (endpoint: Endpoint, value: string, lease: string): Effect.Effect<string | undefined, Failure> => {
    const key = Buffer.from(layout.key(endpoint, lease))
    const entry = { key, value: Buffer.from(value), lease, endpoint }
    return Effect.suspend(() => (mayGoAlone() ? alone(entry) : Effect.request(new Claim(entry), resolver)))
  }
})

const nothing = Exit.succeed(undefined)
