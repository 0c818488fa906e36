/**
 * P2: a GET through the balanced client with everything on, 32 in flight, to three server processes.
 *
 * Against the same Effect client that takes the three in turn, which does nothing for it. Two of those run, and what
 * they differ by is what the machine does: the bar of the throughput is 0.97 less that. Every client has a process of
 * its own, all take turns, and the figures are medians over the rounds of the ratios (of the latency: of the
 * differences) within a round.
 */
import { Effect } from "effect"
import * as Child from "./Child.ts"
import { make, quantile } from "./Row.ts"

const rounds = 15
const warmUps = 3
const requests = 2000
const servers = 3

const names = ["muster", "roundRobin", "again", "pool", "balancedPool"] as const

interface Round {
  readonly perSecond: number
  readonly median: number
}

export const httpCost = Effect.gen(function* () {
  const ports = yield* Effect.forEach(Array.from({ length: servers }), () =>
    Effect.flatMap(Child.start("httpServer", []), ({ hear }) => hear)
  )
  const clients = yield* Effect.forEach(names, (name) =>
    Effect.map(Child.start("httpClient", [name === "again" ? "roundRobin" : name, ...ports]), (client) => {
      const measured: Array<Round> = []
      return { name, client, measured }
    })
  )
  for (let round = -warmUps; round < rounds; round++) {
    for (const { client, measured } of round % 2 === 0 ? clients : clients.toReversed()) {
      yield* client.tell(String(requests))
      const [perSecond = NaN, median = NaN] = (yield* client.hear).split(" ").map(Number)
      if (round >= 0) measured.push({ perSecond, median })
    }
  }
  const of = (name: (typeof names)[number]) => clients.find((one) => one.name === name)?.measured ?? []
  const slowdowns = ratios(of("roundRobin"), of("muster"))
  const spread = Math.abs(quantile(ratios(of("roundRobin"), of("again")), 0.5) - 1)
  const peer = quantile(
    of("roundRobin").map(({ perSecond }) => perSecond),
    0.5
  )
  const added = quantile(
    of("muster").map(({ median }, round) => median - (of("roundRobin")[round]?.median ?? NaN)),
    0.5
  )
  const beside = (name: "pool" | "balancedPool", what: string) =>
    make({
      id: "P2",
      case: `GET, 32 in flight, microseconds for one, beside ${what}`,
      value: (1e6 / peer) * quantile(slowdowns, 0.5),
      against:
        1e6 /
        quantile(
          of(name).map(({ perSecond }) => perSecond),
          0.5
        ),
      unit: "µs"
    })
  return [
    make({
      id: "P2",
      case: "GET, 32 in flight, time for one, against the same client in turn; 1 / (0.97 less its own spread)",
      value: (1e6 / peer) * quantile(slowdowns, 0.5),
      against: 1e6 / peer,
      unit: "µs",
      bar: 1 / (0.97 - spread)
    }),
    make({
      id: "P2",
      case: "GET, 32 in flight, added to the median latency of that, against the limit",
      value: Math.max(0, added),
      against: 20,
      unit: "µs",
      bar: 1
    }),
    beside("pool", "three undici Pools in turn"),
    beside("balancedPool", "undici's BalancedPool")
  ]
}).pipe(Effect.scoped)

/** How many times as long a request of `those` takes as one of `these`, round by round. */
const ratios = (these: ReadonlyArray<Round>, those: ReadonlyArray<Round>): ReadonlyArray<number> =>
  these.map(({ perSecond }, round) => perSecond / (those[round]?.perSecond ?? NaN))
