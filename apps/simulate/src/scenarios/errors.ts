/**
 * F-s7: one request in a hundred fails, at 1 000 requests per second and server, of one server or of all.
 *
 * Nobody is to be taken out and nothing to drift in ten minutes. Rivals are shown a minute of it.
 */
import type { Result } from "../Engine.ts"
import { judged } from "../policies.ts"
import { mean, type Scenario, share } from "../Scenario.ts"
import * as Seeded from "../Seeded.ts"
import * as Servers from "../Servers.ts"

const rate = 1000
const share99 = 0.01
const minutes = 10

/** Servers that take 1 000 requests a second at three quarters of their capacity. */
const wide = (n: number) =>
  Array.from({ length: n }, () => Servers.make({ workers: Math.ceil((rate * mean) / 1000 / 0.75), mean }))

const ejections = ({ events }: Result) => events.filter(({ what }) => what === "Ejected").length

const errors = (name: string, summary: string, ofAll: boolean): Scenario => ({
  name,
  summary,
  sizes: [2, 3, 10],
  clients: [1],
  seeds: 3,
  scene: (n, clients, policy) => {
    const servers = wide(n)
    for (const server of ofAll ? servers : servers.slice(0, 1)) server.errors = share99
    return {
      size: Seeded.exponential,
      servers,
      clients,
      rates: [rate * n],
      seconds: policy === judged ? 60 * minutes : 60
    }
  },
  figures: {
    ejections: ejections,
    "share of s0 in the first minute": (result) => share(result, 0, 0, 60),
    "share of s0 in the last minute": (result) => share(result, 0, result.seconds - 60, result.seconds)
  },
  gates: [
    { figure: "ejections", over: "each seed", atMost: 0 },
    { figure: "share of s0 in the first minute", over: "each seed", atLeast: 0.8 },
    { figure: "share of s0 in the last minute", over: "each seed", atLeast: 0.8 }
  ],
  oracle: true
})

export const errorsOfOne = errors("errors-of-one", "1 % of the requests to one server fail, for ten minutes", false)

export const errorsEverywhere = errors("errors", "1 % of all requests fail, for ten minutes", true)

/** One server slow among others, with errors everywhere in the second half. */
export const slowAmongErrors: Scenario = {
  name: "slow-among-errors",
  summary: "one server takes ten times as long; 1 % of all requests fail from half-time on",
  sizes: [2, 3, 10],
  clients: [1],
  seeds: 3,
  scene: (n, clients) => {
    const servers = wide(n)
    servers[0].mean *= 10
    return {
      size: Seeded.exponential,
      servers,
      clients,
      rates: [rate * (n - 1)],
      seconds: 60,
      script: [[30_000, () => servers.forEach((server) => (server.errors = share99))]]
    }
  },
  figures: {
    ejections,
    "share of the slow one with errors, above 1.5 × without": (result) =>
      share(result, 0, 30, 60) - 1.5 * share(result, 0, 2, 30)
  },
  gates: [
    { figure: "ejections", over: "each seed", atMost: 0 },
    { figure: "share of the slow one with errors, above 1.5 × without", over: "the mean", atMost: 0 }
  ],
  oracle: false
}
