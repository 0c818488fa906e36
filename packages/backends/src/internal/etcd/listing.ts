/**
 * Full reads: everything in a folder as of one revision, page by page.
 *
 * A listing whose revision is compacted while it is being read begins again. Whether the registry can be believed is
 * for the caller: `head` says which store answered and how far it had got.
 */
import * as Effect from "effect/Effect"
import type { IKeyValue, IRangeResponse, IResponseHeader } from "etcd3"
import type { Send } from "./connection.ts"
import * as GrpcError from "./grpcError.ts"
import { after } from "./layout.ts"

export interface Listing {
  readonly head: IResponseHeader
  readonly entries: ReadonlyArray<IKeyValue>
}

type Call = <A>(send: Send<A>) => Effect.Effect<A, GrpcError.GrpcError>

export interface Options {
  readonly pageSize: number
  /** The revision to read, instead of the latest. */
  readonly revision?: string | undefined
  /** Takes what the member has itself, however old. */
  readonly serializable?: boolean | undefined
}

export const read = (call: Call, folder: string, options: Options): Effect.Effect<Listing, GrpcError.GrpcError> => {
  const end = after(folder)
  const page = (key: Buffer, revision: string | undefined) =>
    call<IRangeResponse>((etcd, callOptions) =>
      etcd.kv.range(
        {
          key,
          range_end: end,
          limit: options.pageSize,
          serializable: options.serializable === true,
          ...(revision === undefined ? {} : { revision })
        },
        callOptions
      )
    )
  const all = Effect.gen(function* () {
    let answer = yield* page(Buffer.from(folder), options.revision)
    const head = answer.header
    const entries = answer.kvs
    while (answer.more) {
      const last = answer.kvs.at(-1)
      if (last === undefined) break
      answer = yield* page(Buffer.concat([last.key, Buffer.of(0)]), options.revision ?? head.revision)
      for (const entry of answer.kvs) entries.push(entry)
    }
    return { head, entries }
  })
  return options.revision === undefined ? Effect.retry(all, { times: 3, while: GrpcError.isOutOfRange }) : all
}
