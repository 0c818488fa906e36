/**
 * Two zones with as many clients and servers each, whose clients stay at home as long as home can bear it; half of the
 * servers of one zone are lost at once. What they took has to spill over, evenly.
 */
import { defaults, fleet, type Scenario, secondsFor, threeQuarters, total } from "../Scenario.ts"

const at = 2

/** Every second server of zone a. */
const lost = (n: number) => Array.from({ length: n }, (_, server) => server).filter((server) => server % 4 === 0)

export const zones: Scenario = {
  name: "zones",
  summary: "two zones, one of which loses half of its servers after 2 s, at three quarters of what is left",
  sizes: [12, 100],
  clients: [20],
  seeds: 20,
  scene: (n, clients) => {
    const servers = fleet(n)
    return {
      ...defaults,
      servers,
      zones: ["a", "b"],
      clients,
      rates: [threeQuarters(n - lost(n).length)],
      seconds: secondsFor(n),
      script: [
        [
          at * 1000,
          ({ remove }) => {
            for (const server of lost(n)) servers[server].mode = "refuses"
            remove(...lost(n))
          }
        ]
      ]
    }
  },
  figures: {
    "load at home after the loss, relative to the other zone's": ({ sent, seconds }, n) => {
      const each = (ofZone: (server: number) => boolean) => {
        const own = sent.filter((_, server) => ofZone(server) && !lost(n).includes(server))
        return own.reduce((sum, one) => sum + total(one, at + 1, seconds), 0) / own.length
      }
      return each((server) => server % 2 === 0) / each((server) => server % 2 === 1)
    }
  },
  gates: [
    {
      figure: "load at home after the loss, relative to the other zone's",
      over: "the mean",
      atMost: 1.1,
      clients: [20]
    },
    {
      figure: "load at home after the loss, relative to the other zone's",
      over: "the mean",
      atLeast: 0.9,
      clients: [20]
    }
  ],
  oracle: true
}
