/**
 * Prequal's hot–cold lexicographic rule (Wydrowski et al., NSDI 2024): of the probed replicas those with fewer requests
 * in flight than the 2^(−1/4) quantile are cold; the cold one with the lowest latency, or else the least busy.
 *
 * Three probes a request to distinct replicas, answered at once here; a pool of 16 probes that die after a second or when
 * they are used up; with each request one leaves, alternately the oldest and the worst; fewer than two: at random.
 */
import { Snapshot } from "@muster/core"
import { type Make, serverOf } from "../Client.ts"
import * as Servers from "../Servers.ts"

const quantile = 2 ** -0.25
const poolSize = 16
const lifetime = 1000
const probes = 3

interface Probe {
  readonly server: number
  readonly at: number
  readonly latency: number
  inFlight: number
  uses: number
}

export const hotCold: Make = ({ servers, random }) => {
  let listed: ReadonlyArray<number> = []
  let pool: Array<Probe> = []
  let oldestNext = true
  const seen: Array<number> = []
  const closed = new Float64Array(servers.length)

  const probe = (now: number, uses: number) => {
    const from = Math.floor(random() * listed.length)
    for (let step = 0; step < Math.min(probes, listed.length); step++) {
      const server = listed[(from + step * Math.max(1, Math.floor(listed.length / probes))) % listed.length]
      const target = servers[server]
      if (target.mode === "hangs" || target.mode === "refuses" || closed[server] > now) continue
      const latency = Servers.startsAt(target, now) - now + Servers.pace(target, now)
      const inFlight = Servers.inFlight(target, now)
      pool.push({ server, at: now, latency, inFlight, uses })
      seen.push(inFlight)
    }
    if (seen.length > 128) seen.splice(0, seen.length - 128)
    if (pool.length > poolSize) pool.splice(0, pool.length - poolSize)
  }

  const select = (): Probe => {
    const sorted = seen.toSorted((a, b) => a - b)
    const hot = sorted[Math.min(sorted.length - 1, Math.floor(quantile * sorted.length))]
    let best = pool[0]
    for (const candidate of pool) {
      const [cold, bestCold] = [candidate.inFlight < hot, best.inFlight < hot]
      if (cold !== bestCold ? cold : cold ? candidate.latency < best.latency : candidate.inFlight < best.inFlight) {
        best = candidate
      }
    }
    return best
  }

  const removeOne = () => {
    const worst = pool.reduce((at, { inFlight }, index) => (inFlight > pool[at].inFlight ? index : at), 0)
    pool.splice(oldestNext ? 0 : worst, 1)
    oldestNext = !oldestNext
  }

  return {
    follow: (snapshot) => {
      listed = Snapshot.endpoints(snapshot).map(serverOf)
      pool = pool.filter(({ server }) => listed.includes(server))
    },
    choose: (_flight, now) => {
      if (listed.length === 0) return -1
      pool = pool.filter(({ at, uses, server }) => now - at < lifetime && uses > 0 && closed[server] <= now)
      const share = poolSize / Math.max(poolSize + 1, listed.length)
      const uses = Math.max(1, Math.round(2 / Math.max(0.5, (1 - share) * probes - 1)))
      let server = listed[Math.floor(random() * listed.length)]
      if (pool.length >= 2) {
        const best = select()
        best.inFlight++
        best.uses--
        server = best.server
        removeOne()
      }
      probe(now, uses)
      return server
    },
    settle: (_flight, server, code, _elapsed, now) => {
      // Its aversion to errors is undisclosed; here an error sends a replica away for a second.
      if (code !== Servers.answered && code !== Servers.gaveUp) closed[server] = now + 1000
    }
  }
}
