/** F-s6: one server takes ten times as long as the others. */
import { defaults, fleet, type Scenario, secondsFor, share, threeQuarters } from "../Scenario.ts"

export const slow: Scenario = {
  name: "slow",
  summary: "one server takes ten times as long, at three quarters of the capacity of the others",
  sizes: [2, 3, 10, 100],
  clients: [1, 20],
  seeds: 20,
  scene: (n, clients) => {
    const servers = fleet(n)
    servers[0].mean *= 10
    return { ...defaults, servers, clients, rates: [threeQuarters(n - 1)], seconds: secondsFor(n) }
  },
  figures: { "share of the slow one": (result) => share(result, 0, 1, result.seconds) },
  gates: [{ figure: "share of the slow one", over: "each seed", atMost: 0.2, clients: [1, 20] }],
  oracle: true
}
