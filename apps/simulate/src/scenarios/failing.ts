/**
 * F-s5: one server fails instead of working, fast, for ever or for ten seconds.
 *
 * An application that says 500 within a millisecond is a failure for Muster and a fast success for go-zero's model.
 */
import type { Result } from "../Engine.ts"
import * as Servers from "../Servers.ts"
import { defaults, fleet, mean, peak, type Scenario, secondsFor, share, threeQuarters } from "../Scenario.ts"

const fast = (name: string, mode: "fails" | "breaks", summary: string): Scenario => ({
  name,
  summary,
  sizes: [2, 3, 10, 100],
  clients: [1, 20],
  seeds: 20,
  scene: (n, clients) => {
    const servers = fleet(n)
    servers[0].mode = mode
    return { ...defaults, servers, clients, rates: [threeQuarters(n - 1)], seconds: secondsFor(n) }
  },
  figures: { "share of the failing one after 1 s": (result) => share(result, 0, 1, result.seconds) },
  gates: [{ figure: "share of the failing one after 1 s", over: "each seed", atMost: 0.05, sizes: [2, 3, 10] }],
  oracle: true
})

export const failing = fast("failing", "fails", "one server answers 503 within a millisecond")

export const breaking = fast("breaking", "breaks", "one server answers 500 (gRPC: Unknown) within a millisecond")

const from = 3
const to = 13

/** Fails for ten seconds, after the usual time of an answer; 100 requests per second and server. */
export const temporary: Scenario = {
  name: "temporary",
  summary: "one server fails from the 3rd to the 13th second, at the usual pace; 100 requests a second for each",
  sizes: [2, 3, 10, 100],
  clients: [1, 20],
  seeds: 20,
  scene: (n, clients) => {
    const servers = Array.from({ length: n }, () => Servers.make({ workers: n === 2 ? 6 : 4, mean }))
    return {
      ...defaults,
      servers,
      clients,
      rates: [100 * n],
      seconds: n === 100 ? 25 : 40,
      script: [
        [
          from * 1000,
          () => {
            servers[0].mode = "fails"
            servers[0].failsAfter = 20
          }
        ],
        [to * 1000, () => (servers[0].mode = "works")]
      ]
    }
  },
  figures: {
    "share after 1 s of failing": (result) => share(result, 0, from + 1, to),
    "share 10 s after being well": (result: Result) => share(result, 0, to + 10, result.seconds),
    "highest share": (result) => peak(result, 0, 0, result.seconds)
  },
  gates: [
    { figure: "share after 1 s of failing", over: "each seed", atMost: 0.05 },
    { figure: "share 10 s after being well", over: "each seed", atLeast: 0.8 },
    { figure: "highest share", over: "each seed", atMost: 1.5 }
  ],
  oracle: true
}
