/**
 * F-s9: more requests than the servers can answer. They push back once as many are waiting as take about 160 ms.
 */
import { attempts, type Result } from "../Engine.ts"
import * as Servers from "../Servers.ts"
import { capacity, defaults, fleet, mean, type Scenario, total } from "../Scenario.ts"

/** The steps of Prequal's ramp (NSDI 2024, figure 6), relative to the capacity. */
const ramp = [0.75, 0.83, 0.93, 1.03, 1.14, 1.27, 1.41, 1.57, 1.74]

export const overload: Scenario = {
  name: "overload",
  summary: "the load rises from 0.75 to 1.74 of the capacity; servers push back with 32 requests waiting",
  sizes: [2, 3, 10, 100],
  clients: [1, 20],
  seeds: 20,
  scene: (n, clients) => {
    const servers = fleet(n)
    for (const server of servers) server.room = 32
    const each = n === 100 ? 0.5 : 5
    return {
      ...defaults,
      attempts: 1,
      servers,
      clients,
      rates: ramp.map((load) => load * capacity * n),
      seconds: each * ramp.length
    }
  },
  figures: {
    "errors beyond what is beyond capacity": (result, n) => result.errorCount / result.requests - inevitable(n)
  },
  oracle: false
}

/** The share of the ramp's requests that is beyond the capacity. */
const inevitable = (_n: number) =>
  ramp.reduce((sum, load) => sum + Math.max(0, load - 1), 0) / ramp.reduce((sum, load) => sum + load, 0)

const pulse = 2.5
const lasts = 2.5
const calmAfter = 30

/** A hundred servers have one worker each, because it is the sum that counts here. */
const capacityOf = (n: number) => (n < 100 ? capacity : 1000 / mean) * n

const errorsFrom = (result: Result, from: number) => total(result.errors, Math.ceil(from), result.seconds)

/**
 * For 2.5 s twice the capacity: the queues grow beyond the deadline, so everything fails although 0.6 of the capacity
 * is asked for, and would for ever if each request was sent three times.
 */
export const storm: Scenario = {
  name: "storm",
  summary: "2.5 s of twice the capacity, queues without bound, timeouts of 2 s and retries: the storm must die out",
  sizes: [2, 3, 10, 100],
  clients: [1, 20],
  seeds: 20,
  scene: (n, clients) => ({
    ...defaults,
    attempts,
    servers: n < 100 ? fleet(n) : Array.from({ length: n }, () => Servers.make({ workers: 1, mean })),
    clients,
    rates: Array.from({ length: 15 }, (_, part) => (part === pulse / lasts ? 2 : 0.6) * capacityOf(n)),
    seconds: 15 * lasts
  }),
  figures: {
    "errors from 30 s after the pulse on": (result) => errorsFrom(result, pulse + lasts + calmAfter),
    "retries beyond a fifth of the requests": (result) => result.retries / result.requests - 0.2
  },
  gates: [{ figure: "errors from 30 s after the pulse on", over: "each seed", atMost: 0, clients: [1, 20] }],
  oracle: false
}
