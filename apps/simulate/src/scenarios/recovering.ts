import { defaults, fleet, peak, type Scenario, share, threeQuarters } from "../Scenario.ts"
export const recovering: Scenario = {
  name: "recovering",
  summary: "one server takes ten times as long until the 20th second",
  sizes: [2, 3, 10],
  clients: [1, 20],
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
      script: [[20_000, () => (servers[0].mean /= 10)]]
    }
  },
  figures: {
    "s30-40": (r) => share(r, 0, 30, 40),
    "s40-50": (r) => share(r, 0, 40, 50),
    "s60-80": (r) => share(r, 0, 60, 80),
    peak: (r) => peak(r, 0, 0, 80)
  },
  gates: [],
  oracle: false,
  rivals: []
}
