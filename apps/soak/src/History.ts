/**
 * Which revisions etcd had, and which of them each watcher was told: between two full reads none may be missing, none
 * may come twice, and none out of order. A full read hides what a watch lost, so the watches are judged by themselves.
 *
 * A revision is known when any watcher was told it, or when etcd lists an entry that was written with it.
 */
import type { DiscoveryState } from "@muster/core"

/** What a watcher was told after one full read, up to the next. */
interface Reading {
  readonly from: number
  readonly told: Set<number>
  last: number
}

const revisionOf = (cursor: string) => Number(cursor.slice(cursor.lastIndexOf(".") + 1))

export const make = (violation: (what: string) => void) => {
  const known = new Set<number>()
  const readings = new Map<string, Array<Reading>>()

  const changed = (name: string, revision: number) => {
    // Without a full read first, this still belongs to a store that is gone.
    const reading = readings.get(name)?.at(-1)
    if (reading === undefined) return
    if (reading.told.has(revision)) violation(`${name}: revision ${revision} came twice`)
    else if (revision <= reading.last) violation(`${name}: revision ${revision} came after ${reading.last}`)
    reading.told.add(revision)
    reading.last = Math.max(reading.last, revision)
    known.add(revision)
  }

  return {
    /** Takes down what a watcher is told. */
    hear: (name: string, event: DiscoveryState.Event) => {
      if (event._tag === "Changed") return changed(name, revisionOf(event.cursor))
      if (event._tag !== "Reset") return
      const from = revisionOf(event.cursor)
      readings.set(name, [...(readings.get(name) ?? []), { from, told: new Set(), last: from }])
    },
    /** Takes down that etcd has an entry of this revision. */
    lists: (revision: number) => void known.add(revision),
    /** Looks for revisions that were kept from a watcher. */
    check: () => {
      for (const [name, all] of readings) {
        for (const { from, last, told } of all) {
          for (const revision of known) {
            if (revision > from && revision < last && !told.has(revision)) {
              violation(`${name}: was never told revision ${revision}, but ${last}`)
            }
          }
        }
        readings.set(name, all.slice(-1))
      }
    },
    /** The store was wiped: revisions are counted from the beginning again. */
    forget: () => {
      known.clear()
      readings.clear()
    }
  }
}

export type History = ReturnType<typeof make>
