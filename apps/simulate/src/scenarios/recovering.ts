/** One server was slow for 20 s and is well: it is found out and used again, by itself. */
import { defaults, fleet, peak, type Scenario, share, threeQuarters } from "../Scenario.ts"

const until = 20

export const recovering: Scenario = {
  name: "recovering",
  summary: "one server takes ten times as long until the 20th second, and is well then",
  sizes: [2, 3, 10],
  clients: [1],
  seeds: 20,
  scene: (n, clients) => {
    const servers = fleet(n)
    servers[0].mean *= 10
    return {
      ...defaults,
      servers,
      clients,
      rates: [threeQuarters(n - 1)],
      seconds: 80,
      script: [[until * 1000, () => (servers[0].mean /= 10)]]
    }
  },
  figures: {
    "share 40 s after being well": (result) => share(result, 0, until + 40, result.seconds),
    "highest share": (result) => peak(result, 0, 0, result.seconds)
  },
  gates: [
    { figure: "share 40 s after being well", over: "the mean", atLeast: 0.8 },
    { figure: "highest share", over: "each seed", atMost: 1.5 }
  ],
  oracle: true
}
