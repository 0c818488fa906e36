/**
 * Finagle's p2c over peak EWMA, with its failure accrual, from the published formulas.
 *
 * cost = rtt at once when that is higher, else cost × w + rtt × (1 − w) with w = exp(−dt / 10 s), and a look decays it as
 * well; load = cost × (pending + 1), or a penalty + pending while nothing is known of a server that is being asked. Two
 * distinct servers, an open one before a closed one, up to five tries for two open ones. Five failures in a row or a
 * success rate below 0.8 over 30 s close a server for 5 s × 2ⁿ up to 300 s with equal jitter; one request probes it.
 */
import { Snapshot } from "@muster/core"
import { type Make, serverOf } from "../Client.ts"
import * as Servers from "../Servers.ts"

const tau = 10_000
const penalty = 1e9
const tries = 5
const window = 30_000

interface Node {
  readonly server: number
  cost: number
  at: number
  pending: number
  streak: number
  success: number
  answers: number
  firstAt: number
  answeredAt: number
  closures: number
  openAt: number
  probing: boolean
}

const join = (server: number, now: number): Node => ({
  server,
  cost: 0,
  at: now,
  pending: 0,
  streak: 0,
  success: 1,
  answers: 0,
  firstAt: Infinity,
  answeredAt: now,
  closures: 0,
  openAt: 0,
  probing: false
})

export const peakEwma: Make = ({ random }) => {
  const known = new Map<number, Node>()
  let nodes: ReadonlyArray<Node> = []
  const flown: Array<Node> = []

  const observe = (node: Node, rtt: number, now: number) => {
    const kept = Math.exp((node.at - now) / tau)
    node.cost = rtt > node.cost ? rtt : node.cost * kept + rtt * (1 - kept)
    node.at = now
  }

  const load = (node: Node, now: number) => {
    observe(node, 0, now)
    return node.cost === 0 && node.pending > 0 ? penalty + node.pending : node.cost * (node.pending + 1)
  }

  const isOpen = (node: Node, now: number) => !node.probing && now >= node.openAt

  const pick = (now: number): Node => {
    if (nodes.length === 1) return nodes[0]
    let chosen = nodes[0]
    for (let effort = 0; effort < tries; effort++) {
      const first = Math.floor(random() * nodes.length)
      const second = Math.floor(random() * (nodes.length - 1))
      const a = nodes[first]
      const b = nodes[second < first ? second : second + 1]
      const [openA, openB] = [isOpen(a, now), isOpen(b, now)]
      chosen = openA === openB ? (load(a, now) < load(b, now) ? a : b) : openA ? a : b
      if (openA || openB) break
    }
    return chosen
  }

  const accrue = (node: Node, ok: boolean, now: number) => {
    node.firstAt = Math.min(node.firstAt, now)
    const kept = node.answers === 0 ? 0 : Math.exp((node.answeredAt - now) / window)
    node.success = node.success * kept + (ok ? 1 : 0) * (1 - kept)
    node.answers++
    node.answeredAt = now
    node.streak = ok ? 0 : node.streak + 1
    if (ok && node.probing) {
      node.closures = 0
      node.answers = 0
      node.firstAt = now
    }
    const unfit =
      node.streak >= 5 || (node.answers >= 5 && now - node.firstAt >= window && node.success < 0.8) || node.probing
    if (!ok && unfit && (node.probing || now >= node.openAt)) {
      const delay = Math.min(300_000, 5000 * 2 ** node.closures++)
      node.openAt = now + (delay / 2) * (1 + random())
      node.streak = 0
    }
    node.probing = false
  }

  return {
    follow: (snapshot, now) => {
      const listed = new Set(Snapshot.endpoints(snapshot).map(serverOf))
      for (const server of known.keys()) if (!listed.has(server)) known.delete(server)
      for (const server of listed) if (!known.has(server)) known.set(server, join(server, now))
      nodes = [...known.values()]
    },
    choose: (flight, now) => {
      if (nodes.length === 0) return -1
      const node = pick(now)
      if (node.closures > 0 && now >= node.openAt) node.probing = true
      node.pending++
      flown[flight] = node
      return node.server
    },
    settle: (flight, _server, code, elapsed, now) => {
      const node = flown[flight]
      node.pending--
      observe(node, elapsed, now)
      accrue(node, code === Servers.answered || code === Servers.gaveUp, now)
    }
  }
}
