/**
 * What a scenario is: a scene for so many servers and clients, the figures taken of a run, and the gates on them.
 */
import type { Result, Scene } from "./Engine.ts"
import * as Seeded from "./Seeded.ts"
import * as Servers from "./Servers.ts"

export interface Scenario {
  readonly name: string
  readonly summary: string
  readonly sizes: ReadonlyArray<number>
  readonly clients: ReadonlyArray<number>
  readonly seeds: number
  /** Builds the scene anew for each run, because servers change. */
  readonly scene: (n: number, clients: number, policy: string) => Scene
  /** Figures of one run, by name. */
  readonly figures?: Readonly<Record<string, (result: Result, n: number) => number>>
  readonly gates?: ReadonlyArray<Gate>
  /** Whether p99 is held against the oracle's. */
  readonly oracle: boolean
  /** The policies that must not be better by more than 5 %; by default all rivals. */
  readonly rivals?: ReadonlyArray<string>
}

/** A bar for a figure, on every seed, or on the mean of all seeds. */
export interface Gate {
  readonly figure: string
  readonly over: "each seed" | "the mean"
  readonly atMost?: number
  readonly atLeast?: number
  /** Where it applies; by default for all sizes, and one client. */
  readonly sizes?: ReadonlyArray<number>
  readonly clients?: ReadonlyArray<number>
}

/** A server has four workers and answers in 20 ms on average: 200 requests a second at most. */
const workers = 4
export const mean = 20
export const capacity = (workers / mean) * 1000

/** `n` such servers. */
export const fleet = (n: number): ReadonlyArray<Servers.Server> =>
  Array.from({ length: n }, () => Servers.make({ workers, mean }))

/** Three quarters of what so many servers can do, in requests per second. */
export const threeQuarters = (servers: number): number => 0.75 * capacity * servers

/** How long to simulate: as many requests as tell percentiles apart, which so many servers see the sooner. */
export const secondsFor = (n: number): number => (n <= 3 ? 60 : n <= 10 ? 20 : 5)

export const defaults = { attempts: 3, size: Seeded.exponential }

/** Attempts sent to a server from one second to another, relative to an even share of all. */
export const share = ({ sent }: Result, server: number, from: number, to: number): number => {
  const all = sent.reduce((sum, seconds) => sum + total(seconds, from, to), 0)
  return all === 0 ? 0 : (total(sent[server], from, to) * sent.length) / all
}

export const total = (seconds: Float64Array, from: number, to: number): number => {
  let sum = 0
  for (let second = from; second < Math.min(to, seconds.length); second++) sum += seconds[second]
  return sum
}

/** The highest share of a server in any one second. */
export const peak = (result: Result, server: number, from: number, to: number): number => {
  let highest = 0
  for (let second = from; second < to; second++) highest = Math.max(highest, share(result, server, second, second + 1))
  return highest
}
