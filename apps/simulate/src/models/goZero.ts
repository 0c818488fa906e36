/**
 * go-zero's p2c_ewma, from its published behaviour: load = ⌊√(lag + 1)⌋ × (in flight + 1) with lag in nanoseconds, both
 * averages with w = exp(−dt / 10 s) and cut to integers; up to three tries for two healthy ones (success > 500 of 1000),
 * which two servers alone do not get; a loser that was not picked for a second is taken instead.
 *
 * Every change of the list forgets everything. An application's error of unknown code counts as success, a caller that
 * gave up as well.
 */
import { Snapshot } from "@muster/core"
import { type Make, serverOf } from "../Client.ts"
import * as Servers from "../Servers.ts"

const tau = 10_000
const forcedAfter = 1000

interface Node {
  readonly server: number
  lag: number
  success: number
  inFlight: number
  lastAt: number
  pickedAt: number
}

export const goZero: Make = ({ random }) => {
  let nodes: ReadonlyArray<Node> = []
  const flown: Array<Node> = []

  const load = ({ lag, inFlight }: Node) => Math.floor(Math.sqrt(lag + 1)) * (inFlight + 1)

  const better = (a: Node, b: Node, now: number) => {
    const [winner, loser] = load(a) <= load(b) ? [a, b] : [b, a]
    if (now - loser.pickedAt <= forcedAfter) return winner
    return loser
  }

  const pick = (now: number): Node => {
    if (nodes.length === 1) return nodes[0]
    if (nodes.length === 2) return better(nodes[0], nodes[1], now)
    let a = nodes[0]
    let b = nodes[1]
    for (let tries = 0; tries < 3; tries++) {
      const first = Math.floor(random() * nodes.length)
      const second = Math.floor(random() * (nodes.length - 1))
      a = nodes[first]
      b = nodes[second < first ? second : second + 1]
      if (a.success > 500 && b.success > 500) break
    }
    return better(a, b, now)
  }

  return {
    follow: (snapshot) => {
      nodes = Snapshot.endpoints(snapshot).map((endpoint) => ({
        server: serverOf(endpoint),
        lag: 0,
        success: 1000,
        inFlight: 0,
        lastAt: 0,
        pickedAt: -Infinity
      }))
    },
    choose: (flight, now) => {
      if (nodes.length === 0) return -1
      const node = pick(now)
      node.pickedAt = now
      node.inFlight++
      flown[flight] = node
      return node.server
    },
    settle: (flight, _server, code, elapsed, now) => {
      const node = flown[flight]
      node.inFlight--
      const kept = node.lag === 0 ? 0 : Math.exp((node.lastAt - now) / tau)
      const failure = code === Servers.failed || code === Servers.refused || code === Servers.pushedBack
      node.lastAt = now
      node.lag = Math.floor(node.lag * kept + elapsed * 1e6 * (1 - kept))
      node.success = Math.floor(node.success * kept + (failure ? 0 : 1000) * (1 - kept))
    }
  }
}
