/**
 * Reads single keys, many of them in one transaction: what is asked for within `Policy.Gather` goes together.
 *
 * Renewals of a thousand leases verify a thousand entries; asked for one by one that would be a thousand calls. `near`
 * takes what the member has itself, costs the cluster nothing, and tells of an entry everything but its value; `sure` is
 * the agreed state.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import type { IKeyValue } from "etcd3"
import * as Policy from "@muster/core/Policy"
import type { GrpcError } from "./grpcError.ts"
import type { Members } from "./members.ts"

type Lookup = (key: string) => Effect.Effect<IKeyValue | undefined, GrpcError>

class ReadKey extends Request.Class<{ readonly key: string }, IKeyValue | undefined, GrpcError> {}

/** etcd takes 128 operations in one transaction unless it is told otherwise. */
const most = 100

export const make = Effect.fnUntraced(function* (members: Members) {
  const gather = yield* Policy.Gather

  const lookup = (near: boolean): Lookup => {
    const resolver = RequestResolver.make<ReadKey>((entries) =>
      Effect.map(
        members.call((etcd, options) => {
          const success = entries.map(({ request }) => ({
            request_range: { key: Buffer.from(request.key), serializable: near, keys_only: near }
          }))
          return etcd.kv.txn({ success }, options)
        }),
        ({ responses }) => {
          for (const [place, entry] of entries.entries()) {
            entry.completeUnsafe(Exit.succeed(responses[place]?.response_range.kvs[0]))
          }
        }
      )
    ).pipe(RequestResolver.setDelay(gather), RequestResolver.batchN(most))
    return (key) => Effect.request(new ReadKey({ key }), resolver)
  }

  return { near: lookup(true), sure: lookup(false) }
})
