/**
 * F-s8: servers that just started take five times as long and warm up over ten seconds, all of them or one.
 *
 * The load is three quarters of what is there while they are cold.
 */
import type { Result } from "../Engine.ts"
import { defaults, fleet, type Scenario, share, threeQuarters } from "../Scenario.ts"

const factor = 5
const warmUp = 10_000
const joins = 2

export const coldAll: Scenario = {
  name: "cold-all",
  summary: "all servers and clients just started: five times slower, and warm after 10 s",
  sizes: [2, 3, 10, 100],
  clients: [1, 20],
  seeds: 20,
  scene: (n, clients) => {
    const servers = fleet(n)
    for (const server of servers) Object.assign(server, { cold: factor, warmAt: warmUp })
    return { ...defaults, servers, clients, rates: [threeQuarters(n) / factor], seconds: n === 100 ? 14 : 40 }
  },
  figures: { "share of s0": (result) => share(result, 0, 0, result.seconds) },
  oracle: true
}

const shareOfNew = (result: Result, from: number, to: number) => share(result, 0, from, to)

export const coldOne: Scenario = {
  name: "cold-one",
  summary: "one server joins after 2 s: five times slower, and warm 10 s later",
  sizes: [2, 3, 10, 100],
  clients: [1, 20],
  seeds: 20,
  scene: (n, clients) => {
    const servers = fleet(n)
    const join = joins * 1000
    return {
      ...defaults,
      servers,
      listed: Array.from({ length: n - 1 }, (_, index) => index + 1),
      clients,
      rates: [threeQuarters(n - 1)],
      seconds: n === 100 ? 18 : 30,
      script: [
        [
          join,
          ({ put }) => {
            Object.assign(servers[0], { cold: factor, warmFrom: join, warmAt: join + warmUp })
            put(0, join)
          }
        ]
      ]
    }
  },
  figures: {
    "share in its first second": (result) => shareOfNew(result, joins, joins + 1),
    "highest share": (result) =>
      Math.max(
        ...Array.from({ length: result.seconds - joins }, (_, at) => shareOfNew(result, joins + at, joins + at + 1))
      ),
    "share when warm": (result) => shareOfNew(result, joins + 13, result.seconds)
  },
  gates: [
    { figure: "share in its first second", over: "each seed", atMost: 0.45 },
    { figure: "highest share", over: "each seed", atMost: 1.5 },
    { figure: "share when warm", over: "the mean", atLeast: 0.8 }
  ],
  oracle: true
}
