/** All is well: what does choosing cost against knowing? */
import { defaults, fleet, peak, type Scenario, secondsFor, share, threeQuarters } from "../Scenario.ts"

export const steady: Scenario = {
  name: "steady",
  summary: "all servers are well, at three quarters of their capacity",
  sizes: [2, 3, 10, 100],
  clients: [1, 20],
  seeds: 20,
  scene: (n, clients) => ({
    ...defaults,
    servers: fleet(n),
    clients,
    rates: [threeQuarters(n)],
    seconds: secondsFor(n)
  }),
  figures: {
    "share of s0": (result) => share(result, 0, 0, result.seconds),
    "highest share of s0": (result) => peak(result, 0, 0, result.seconds)
  },
  gates: [],
  oracle: true
}
