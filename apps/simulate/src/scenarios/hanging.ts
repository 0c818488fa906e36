/** F-s4: one server never answers while the list keeps changing, and callers give up after half a second. */
import { defaults, fleet, type Scenario, share, threeQuarters } from "../Scenario.ts"

export const hanging: Scenario = {
  name: "hanging",
  summary: "one server hangs, another comes and goes every 5 s, callers give up after 500 ms",
  sizes: [2, 3, 10, 100],
  clients: [1, 20],
  seeds: 20,
  scene: (n, clients) => {
    const servers = fleet(n + 1)
    servers[0].mode = "hangs"
    const seconds = n === 100 ? 11 : 45
    return {
      ...defaults,
      servers,
      listed: Array.from({ length: n }, (_, server) => server),
      clients,
      rates: [threeQuarters(n - 1)],
      seconds,
      patience: 500,
      script: Array.from({ length: Math.floor(seconds / 5) }, (_, change) => [
        5000 * (change + 1),
        ({ put, remove }) => (change % 2 === 0 ? put(n) : remove(n))
      ])
    }
  },
  figures: { "share of the hanging one after 5 s": (result) => share(result, 0, 5, result.seconds) },
  gates: [{ figure: "share of the hanging one after 5 s", over: "each seed", atMost: 0.02 }],
  oracle: true
}
