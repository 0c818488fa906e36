/**
 * The endpoints of one service, merged from what its slices say, in time proportional to what changed.
 *
 * A slice may repeat an endpoint of another one, and says it with conditions of its own: an instance is listed once, in
 * one address family (IPv4 where it has both) and by its best condition there. Of two instances on one address (a
 * pod network gave the address of a leaving pod away) the one that is not leaving is listed. Hints count only where
 * every ready endpoint has them. The result depends on the slices alone, never on the order in which they were told.
 */
import { type Delta } from "@muster/core/Change"
import { Endpoint, type InstanceId, same, type ServiceName } from "@muster/core/Endpoint"
import type { Candidate } from "./candidate.ts"

/** The endpoints of one service. */
export interface EndpointMerge {
  readonly endpoints: () => ReadonlyArray<Endpoint>
  /** Replaces what these slices say; gives what became of the endpoints. `at` is Unix time in milliseconds. */
  readonly update: (
    changes: Iterable<readonly [slice: string, candidates: ReadonlyArray<Candidate>]>,
    at: number
  ) => ReadonlyArray<Delta>
}

/** No slice and no endpoint yet. What the first update lists was there before us: its start is unknown. */
export const make = (service: ServiceName): EndpointMerge => {
  const bySlice = new Map<string, ReadonlyArray<Candidate>>()
  const byId = new Map<InstanceId, Array<Candidate>>()
  const chosen = new Map<InstanceId, Candidate>()
  const byAddress = new Map<string, Set<InstanceId>>()
  const winners = new Map<InstanceId, Candidate>()
  const startedAt = new Map<InstanceId, number>()
  const listed = new Map<InstanceId, Endpoint>()
  const unhinted = { zones: 0, nodes: 0 }
  let begun = false

  const take = (slice: string, candidates: ReadonlyArray<Candidate>, touched: Set<InstanceId>) => {
    for (const candidate of bySlice.get(slice) ?? []) {
      touched.add(candidate.id)
      const rest = (byId.get(candidate.id) ?? []).filter((other) => other !== candidate)
      if (rest.length > 0) byId.set(candidate.id, rest)
      else byId.delete(candidate.id)
    }
    for (const candidate of candidates) {
      touched.add(candidate.id)
      byId.set(candidate.id, [...(byId.get(candidate.id) ?? []), candidate])
    }
    if (candidates.length > 0) bySlice.set(slice, candidates)
    else bySlice.delete(slice)
  }

  /** Chooses among what is said of an instance; all that share its old and its new address are affected. */
  const choose = (id: InstanceId, affected: Set<InstanceId>) => {
    const before = chosen.get(id)
    const after = best(byId.get(id))
    affected.add(id)
    if (before !== undefined) {
      const sharing = byAddress.get(before.address)
      sharing?.delete(id)
      if (sharing?.size === 0) byAddress.delete(before.address)
      else sharing?.forEach((other) => affected.add(other))
    }
    if (after === undefined) {
      chosen.delete(id)
      if (!byId.has(id)) startedAt.delete(id)
    } else {
      chosen.set(id, after)
      const sharing = byAddress.get(after.address) ?? new Set()
      byAddress.set(after.address, sharing.add(id))
      sharing.forEach((other) => affected.add(other))
    }
  }

  const count = ({ condition, forNodes, forZones }: Candidate, by: 1 | -1) => {
    if (condition !== "Ready") return
    if (forZones === "") unhinted.zones += by
    if (forNodes === "") unhinted.nodes += by
  }

  const elect = (id: InstanceId) => {
    const before = winners.get(id)
    const after = chosen.get(id)
    if (before !== undefined) count(before, -1)
    if (after !== undefined && wins(after, byAddress.get(after.address), chosen)) {
      winners.set(id, after)
      count(after, 1)
    } else {
      winners.delete(id)
    }
  }

  const describe = (id: InstanceId, candidate: Candidate, at: number) => {
    const { forNodes, forZones, host, node, pod, port, zone } = candidate
    if (!startedAt.has(id)) startedAt.set(id, begun ? at : 0)
    return new Endpoint({
      service,
      id,
      host,
      port,
      ...(zone === undefined ? {} : { zone }),
      startedAt: startedAt.get(id) ?? 0,
      draining: candidate.condition === "Draining",
      metadata: {
        ...(pod === undefined ? {} : { pod }),
        ...(node === undefined ? {} : { node }),
        ...(forZones === "" || unhinted.zones > 0 ? {} : { forZones }),
        ...(forNodes === "" || unhinted.nodes > 0 ? {} : { forNodes })
      }
    })
  }

  const list = (id: InstanceId, at: number): Delta | undefined => {
    const before = listed.get(id)
    const winner = winners.get(id)
    if (winner === undefined) return listed.delete(id) ? { _tag: "Removed", id } : undefined
    const endpoint = describe(id, winner, at)
    if (before !== undefined && same(before, endpoint)) return undefined
    listed.set(id, endpoint)
    return { _tag: "Put", endpoint }
  }

  return {
    endpoints: () => [...listed.values()],
    update: (changes, at) => {
      const touched = new Set<InstanceId>()
      for (const [slice, candidates] of changes) take(slice, candidates, touched)
      const affected = new Set<InstanceId>()
      for (const id of touched) choose(id, affected)
      const [zones, nodes] = [unhinted.zones > 0, unhinted.nodes > 0]
      for (const id of affected) elect(id)
      if (zones !== unhinted.zones > 0 || nodes !== unhinted.nodes > 0) {
        for (const id of winners.keys()) affected.add(id)
      }
      const deltas: Array<Delta> = []
      for (const id of affected) {
        const delta = list(id, at)
        if (delta !== undefined) deltas.push(delta)
      }
      begun = true
      return deltas
    }
  }
}

const rank = { Ready: 0, Draining: 1, Out: 2 } as const

/** Smaller is better; address and slice decide between equals, so that no order of telling does. */
const compare = (a: Candidate, b: Candidate): number =>
  Number(a.isIPv6) - Number(b.isIPv6) ||
  rank[a.condition] - rank[b.condition] ||
  compareText(a.address, b.address) ||
  compareText(a.slice, b.slice)

const compareText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

const best = (candidates: ReadonlyArray<Candidate> | undefined): Candidate | undefined => {
  if (candidates === undefined) return undefined
  return candidates.reduce((a, b) => (compare(b, a) < 0 ? b : a))
}

/** Whether an instance is the one to list among those that share its address. */
const wins = (
  candidate: Candidate,
  sharing: Iterable<InstanceId> | undefined,
  chosen: ReadonlyMap<InstanceId, Candidate>
): boolean => {
  if (candidate.condition === "Out") return false
  for (const id of sharing ?? []) {
    const other = chosen.get(id)
    if (other === undefined || other === candidate) continue
    const order = rank[other.condition] - rank[candidate.condition]
    if (order < 0 || (order === 0 && other.id < candidate.id)) return false
  }
  return true
}
