/**
 * Where in which history of etcd a watch stands, as a cursor: cluster, election term and revision.
 *
 * A revision alone would not do: a store that was wiped or restored counts again from below, and may have overtaken us
 * by the time we look. Its cluster id may be the same, its term is usually lower.
 */
import type { IResponseHeader } from "etcd3"
import { Cursor } from "@muster/core/Change"

export interface Position {
  readonly cluster: string
  readonly term: bigint
  readonly revision: bigint
}

export const fromHeader = ({ cluster_id, raft_term, revision }: IResponseHeader): Position => ({
  cluster: cluster_id,
  term: BigInt(raft_term),
  revision: BigInt(revision)
})

export const toCursor = ({ cluster, revision, term }: Position): Cursor => Cursor.make(`${cluster}.${term}.${revision}`)

export const fromCursor = (cursor: Cursor | undefined): Position | undefined => {
  const [, cluster, term, revision] = /^(\d{1,20})\.(\d{1,20})\.(\d{1,19})$/.exec(cursor ?? "") ?? []
  if (cluster === undefined || term === undefined || revision === undefined) return undefined
  return { cluster, term: BigInt(term), revision: BigInt(revision) }
}

/** Whether `now` can be a later moment of the history that `then` belongs to. */
export const continues = (now: Position, then: Position): boolean =>
  now.cluster === then.cluster && now.term >= then.term && now.revision >= then.revision
