/**
 * P2: a GET through the balanced client with everything on to three server processes, 32 in flight and one at a time.
 *
 * Against the same Effect client that takes the three in turn, which does nothing for it. Two of those run, and what
 * they differ by is what the machine does: the bar of the throughput is 0.97 less that. Every client has a process of
 * its own, all take turns, and the figures are medians over the rounds of the ratios (of the latency: of the
 * differences) within a round. V8 compiles the same program now better, now worse, by a twentieth: so all begin anew many
 * times, but for the pools of undici, which are held against no bar.
 *
 * What is added to the latency is measured one at a time. With 32 in flight on a client that is never idle the median is
 * 32 times the time for one, which the first row has already, and two clients that are the same differ by more there
 * than the limit.
 */
import { Effect } from "effect"
import * as Child from "./Child.ts"
import { make, quantile } from "./Row.ts"

const beginnings = 12
const beginningsOfPools = 2
const rounds = 4
const warmUps = 6
const servers = 3

/** How many requests, and how many of them at a time. */
const busy = "2000 32"
const quiet = "500 1"

const contenders = ["muster", "roundRobin", "again"] as const
const pools = ["pool", "balancedPool"] as const
type Name = (typeof contenders)[number] | (typeof pools)[number]

interface Round {
  readonly perSecond: number
  readonly median: number
}

interface Measured {
  readonly busy: Array<Round>
  readonly quiet: Array<Round>
}

const nothing = (): Measured => ({ busy: [], quiet: [] })

const ask = (client: Child.Child, what: string) =>
  Effect.gen(function* () {
    yield* client.tell(what)
    const [perSecond = NaN, median = NaN] = (yield* client.hear).split(" ").map(Number)
    const round: Round = { perSecond, median }
    return round
  })

/** Some rounds of processes that have just begun. */
const measure = Effect.fnUntraced(function* (
  ports: ReadonlyArray<string>,
  names: ReadonlyArray<Name>,
  measured: Record<Name, Measured>
) {
  const clients = yield* Effect.forEach(names, (name) =>
    Effect.map(Child.start("httpClient", [name === "again" ? "roundRobin" : name, ...ports]), (client) => ({
      name,
      client
    }))
  )
  for (let round = -warmUps; round < rounds; round++) {
    for (const { client, name } of round % 2 === 0 ? clients : clients.toReversed()) {
      const [one, other] = [yield* ask(client, busy), yield* ask(client, quiet)]
      if (round < 0) continue
      measured[name].busy.push(one)
      measured[name].quiet.push(other)
    }
  }
}, Effect.scoped)

export const httpCost = Effect.gen(function* () {
  const ports = yield* Effect.forEach(Array.from({ length: servers }), () =>
    Effect.flatMap(Child.start("httpServer", []), ({ hear }) => hear)
  )
  const measured: Record<Name, Measured> = {
    muster: nothing(),
    roundRobin: nothing(),
    again: nothing(),
    pool: nothing(),
    balancedPool: nothing()
  }
  for (let n = 0; n < beginnings; n++) {
    yield* measure(ports, n < beginningsOfPools ? [...contenders, ...pools] : contenders, measured)
  }
  const { again, muster, roundRobin } = measured
  const slowdowns = ratios(roundRobin.busy, muster.busy)
  const spread = Math.abs(quantile(ratios(roundRobin.busy, again.busy), 0.5) - 1)
  const peer = quantile(
    roundRobin.busy.map(({ perSecond }) => perSecond),
    0.5
  )
  const added = (kind: keyof Measured) =>
    quantile(
      muster[kind].map(({ median }, round) => median - (roundRobin[kind][round]?.median ?? NaN)),
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
          measured[name].busy.map(({ perSecond }) => perSecond),
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
      case: "GET, one at a time, added to the median latency of that, against the limit",
      value: Math.max(0, added("quiet")),
      against: 20,
      unit: "µs",
      bar: 1
    }),
    make({
      id: "P2",
      case: "GET, 32 in flight, added to the median latency, which is 32 times the time for one",
      value: Math.max(0, added("busy")),
      against: 20,
      unit: "µs"
    }),
    beside("pool", "three undici Pools in turn"),
    beside("balancedPool", "undici's BalancedPool")
  ]
}).pipe(Effect.scoped)

/** How many times as long a request of `those` takes as one of `these`, round by round. */
const ratios = (these: ReadonlyArray<Round>, those: ReadonlyArray<Round>): ReadonlyArray<number> =>
  these.map(({ perSecond }, round) => perSecond / (those[round]?.perSecond ?? NaN))
