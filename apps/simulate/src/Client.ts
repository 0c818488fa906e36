/**
 * What the simulator asks of a balancer, be it Muster's or a model of another one.
 *
 * Servers are numbers, and so are flights: one request on its way to one server. Numbers of flights are used again, so
 * a balancer keeps what it must remember of a flight in an array.
 */
import type { Snapshot } from "@muster/core"
import type { Random } from "./Seeded.ts"
import type { Code, Server } from "./Servers.ts"

interface Client {
  /** The list changed. */
  readonly follow: (snapshot: Snapshot.Snapshot, now: number) => void
  /** Chooses a server for a flight, −1 for none; `earlier` are the flights of the same request that failed. */
  readonly choose: (flight: number, now: number, size: number, earlier: ReadonlyArray<number>) => number
  /** How the flight turned out. */
  readonly settle: (flight: number, server: number, code: Code, elapsed: number, now: number) => void
}

/** What a balancer may know. Only the oracle looks at the servers; only Prequal's model asks them, as its probes would. */
export interface World {
  readonly servers: ReadonlyArray<Server>
  readonly random: Random
  /** Where this client is, where that counts. */
  readonly zone: string | undefined
  /** Its number, how many there are, and how many servers it is to use on average, where it is not to use all. */
  readonly client: number
  readonly clients: number
  readonly subset: number | undefined
  /** Hears what happens to instances, where a balancer tells. */
  readonly log: (event: { readonly at: number; readonly server: number; readonly what: string }) => void
}

export type Make = (world: World) => Client

/** The server of an endpoint, by its port. */
export const serverOf = (endpoint: { readonly port: number }): number => endpoint.port - 1

/** The wall clock of a simulation starts here. */
export const epoch = 1_700_000_000_000
