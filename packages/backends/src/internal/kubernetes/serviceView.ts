/**
 * One service as its watchers see it: its merged endpoints, and a log of what became of them.
 *
 * A watcher holds nothing but its position in the log, as in `revisionLog`. A slice that cannot be read leaves what the
 * slice said last; what could not be used is told once when it turns up, and again with every full reading.
 */
import * as Result from "effect/Result"
import type { Change, Cursor, Delta, Skipped } from "@muster/core/Change"
import type { ServiceName } from "@muster/core/Endpoint"
import * as RevisionLog from "../revisionLog.ts"
import { readSlice, type Wanted } from "./candidate.ts"
import * as EndpointMerge from "./endpointMerge.ts"
import type { EndpointSlice } from "./endpointSlice.ts"

/** One service as its watchers see it. */
export interface ServiceView {
  /** Takes slices as they are now (`undefined`: deleted). `at` is Unix time in milliseconds. */
  readonly update: (slices: Iterable<readonly [uid: string, slice: EndpointSlice | undefined]>, at: number) => void
  /** What there is to say after a position. */
  readonly read: (from: Cursor | undefined) => RevisionLog.Reading
  /** Whether the log has everything that came after this position. */
  readonly resumes: (from: Cursor | undefined) => boolean
  /** Wakes everyone who waits for news. */
  readonly notice: RevisionLog.Notice
}

/** Nothing said yet. `history` names the log among all others of this process. */
export const make = (service: ServiceName, wanted: Wanted, history: string, logLength: number): ServiceView => {
  const merge = EndpointMerge.make(service)
  const problems = new Map<string, ReadonlyArray<Skipped>>()
  const log: Array<Change> = []
  let trimmed = 0
  const notice = RevisionLog.makeNotice()

  const last = () => trimmed + log.length
  const position = () => RevisionLog.cursor(history, last())
  const resumable = (from: Cursor | undefined) => RevisionLog.resumable(from, { history, trimmed, last: last() })

  const commit = (deltas: ReadonlyArray<Delta>, skipped: ReadonlyArray<Skipped>) => {
    if (deltas.length === 0 && skipped.length === 0) return
    log.push({ _tag: "Changed", deltas, skipped, cursor: RevisionLog.cursor(history, last() + 1) })
    if (log.length >= 2 * logLength) trimmed += log.splice(0, log.length - logLength).length
    notice.notify()
  }

  /** What a slice says now; `undefined` leaves what it said last. */
  const readNow = (uid: string, slice: EndpointSlice | undefined) => {
    if (slice === undefined) {
      problems.delete(uid)
      return { candidates: [], news: [] }
    }
    const { candidates, skipped } = readSlice(slice, wanted)
    const before = new Set(problems.get(uid)?.map(({ key, problem }) => `${key} ${problem}`))
    if (skipped.length > 0) problems.set(uid, skipped)
    else problems.delete(uid)
    const news = skipped.filter(({ key, problem }) => !before.has(`${key} ${problem}`))
    return { candidates: Result.isFailure(slice.contents) ? undefined : candidates, news }
  }

  return {
    update: (slices, at) => {
      const changes: Array<readonly [string, ReturnType<typeof readSlice>["candidates"]]> = []
      const skipped: Array<Skipped> = []
      for (const [uid, slice] of slices) {
        const { candidates, news } = readNow(uid, slice)
        if (candidates !== undefined) changes.push([uid, candidates])
        skipped.push(...news)
      }
      commit(merge.update(changes, at), skipped)
    },
    resumes: (from) => resumable(from) !== undefined,
    read: (from) => {
      const revision = resumable(from)
      const cursor = position()
      if (revision !== undefined) return { cursor, changes: log.slice(revision - trimmed) }
      const skipped = [...problems.values()].flat()
      return { cursor, changes: [{ _tag: "Reset", endpoints: merge.endpoints(), cursor, skipped }] }
    },
    notice
  }
}
