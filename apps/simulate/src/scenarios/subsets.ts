/** Each of twenty clients uses 40 of a hundred servers; one server leaves, and comes back a second later. */
import { defaults, fleet, type Scenario, secondsFor, threeQuarters, total } from "../Scenario.ts"

export const subsets: Scenario = {
  name: "subsets",
  summary: "each of 20 clients uses 40 of 100 servers, one of which leaves after 2 s and is back after 3",
  sizes: [100],
  clients: [20],
  seeds: 20,
  scene: (n, clients) => ({
    ...defaults,
    servers: fleet(n),
    subset: 40,
    clients,
    rates: [threeQuarters(n)],
    seconds: secondsFor(n),
    script: [
      [2000, ({ remove }) => remove(0)],
      [3000, ({ put }) => put(0)]
    ]
  }),
  figures: {
    "the busiest server's share": ({ sent, seconds }) => {
      const each = sent.map((one) => total(one, 0, seconds))
      return (Math.max(...each) * each.length) / each.reduce((a, b) => a + b, 0)
    }
  },
  gates: [{ figure: "the busiest server's share", over: "the mean", atMost: 1.2, clients: [20] }],
  oracle: true
}
