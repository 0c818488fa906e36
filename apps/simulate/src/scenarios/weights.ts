/** Weights 1 : 2 : 4 are to be what the shares are, at little and at much traffic. */
import type { Result } from "../Engine.ts"
import { type Scenario, total } from "../Scenario.ts"
import * as Seeded from "../Seeded.ts"
import * as Servers from "../Servers.ts"

const weights = [1, 2, 4]
const sum = weights.reduce((a, b) => a + b, 0)

/** What a server was sent, relative to its weight. */
const relative = (server: number) => (result: Result) => {
  const all = result.sent.reduce((count, seconds) => count + total(seconds, 0, result.seconds), 0)
  return ((total(result.sent[server], 0, result.seconds) / all) * sum) / weights[server]
}

const weighted = (name: string, rate: number, seconds: number): Scenario => ({
  name,
  summary: `weights 1 : 2 : 4 at ${rate} requests a second`,
  sizes: [3],
  clients: [1],
  seeds: 20,
  scene: (_n, clients) => ({
    servers: weights.map((weight) => Servers.make({ workers: 8 * weight, mean: 20 })),
    weights,
    clients,
    rates: [rate],
    seconds,
    size: Seeded.narrow
  }),
  figures: { light: relative(0), medium: relative(1), heavy: relative(2) },
  gates: ["light", "medium", "heavy"].flatMap((figure) => [
    { figure, over: "the mean", atLeast: 0.98 },
    { figure, over: "the mean", atMost: 1.02 }
  ]),
  oracle: false,
  rivals: []
})

export const quietWeights = weighted("weights-20", 20, 300)

export const busyWeights = weighted("weights-600", 600, 60)
