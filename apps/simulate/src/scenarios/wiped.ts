/** The registry loses its data while everybody serves: the guard holds what vanished, and no request goes without answer. */
import { defaults, fleet, type Scenario, threeQuarters } from "../Scenario.ts"

export const wiped: Scenario = {
  name: "wiped",
  summary: "the list is empty from the 5th to the 15th second although everybody serves",
  sizes: [2, 3, 10],
  clients: [1],
  seeds: 5,
  scene: (n, clients) => ({
    ...defaults,
    servers: fleet(n),
    clients,
    rates: [threeQuarters(n)],
    seconds: 20,
    script: [
      [5000, ({ remove }) => remove(...Array.from({ length: n }, (_, server) => server))],
      [15_000, ({ put }) => Array.from({ length: n }, (_, server) => put(server))]
    ]
  }),
  figures: { errors: (result) => result.errorCount },
  gates: [{ figure: "errors", over: "each seed", atMost: 0 }],
  oracle: true
}
