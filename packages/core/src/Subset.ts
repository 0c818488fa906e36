/**
 * Which instances of a large service one client uses, so that not everybody is connected to everybody.
 *
 * The choice is the servers': each has exactly `D` = size × clients / servers clients (rounded, at least one), those that
 * rank first when all registered clients are ordered by a hash of client and server. A client needs no list of who has whom, only
 * its own rank with each server, and all of them agree as long as they see the same two lists. So, by construction,
 *
 * - every server has the same number of clients, whatever the numbers are;
 * - a server that leaves makes nobody connect anew, and one that joins gets its `D` clients and moves no other, as long
 *   as `D` stays; where `D` changes by one, each server gains or loses one client;
 * - a client that joins or leaves changes about `size` connections.
 *
 * The price is that clients have `size` servers only on average (about ± √size), or more where there are too few clients
 * for all servers; one that would have less than a quarter takes those that it ranks first itself. A client that is not
 * registered uses the `size` servers that it ranks first itself: rendezvous hashing (gRFC A68). Below `above` servers
 * everybody uses all of them. Compare Finagle's deterministic aperture, which is as even and moves every client a little
 * on each change.
 */
import { hashOf, mix, rank } from "./internal/hash.ts"

/**
 * How many servers a client uses on average, and from how many servers on.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly size: number
  readonly above: number
}

/**
 * The rank of one client with each server.
 *
 * @category models
 * @since 0.1.0
 */
export interface Subset {
  readonly options: Options
  readonly own: string
  readonly seed: number
  /** By id: the seeds of the other clients. */
  readonly others: Map<string, number>
  /** Whether this client is among the registered ones. */
  registered: boolean
  readonly servers: Map<string, Server>
}

interface Server {
  /** How this client ranks the server: greater is better. */
  readonly score: number
  readonly seed: number
  /** So many other clients come before this one. */
  rank: number
}

/**
 * The subset of the client that is called `own`; nothing is known yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options, own: string): Subset => ({
  options,
  own,
  seed: hashOf(own),
  others: new Map(),
  registered: false,
  servers: new Map()
})

/**
 * Follows the two lists, in time proportional to the change of one times the length of the other.
 *
 * @category combinators
 * @since 0.1.0
 */
export const follow = (self: Subset, servers: ReadonlySet<string>, clients: ReadonlySet<string>): void => {
  const left = Array.from(self.others).filter(([id]) => !clients.has(id))
  const come = Array.from(clients).filter((id) => id !== self.own && !self.others.has(id))
  const leftSeeds = Uint32Array.from(left, ([, seed]) => seed)
  const comeSeeds = Uint32Array.from(come, hashOf)
  for (const [id] of left) self.others.delete(id)
  come.forEach((id, index) => self.others.set(id, comeSeeds[index]))
  self.registered = clients.has(self.own)
  for (const [id, server] of self.servers) {
    if (servers.has(id))
      server.rank += rank(self.seed, comeSeeds, server.seed) - rank(self.seed, leftSeeds, server.seed)
    else self.servers.delete(id)
  }
  const seeds = Uint32Array.from(self.others.values())
  for (const id of servers) {
    if (self.servers.has(id)) continue
    const seed = hashOf(id)
    self.servers.set(id, { score: mix(self.seed, seed), seed, rank: rank(self.seed, seeds, seed) })
  }
}

/**
 * The ids of the servers to use.
 *
 * @category getters
 * @since 0.1.0
 */
export const chosen = (self: Subset): ReadonlySet<string> => {
  const { above, size } = self.options
  if (self.servers.size < above) return new Set(self.servers.keys())
  const perServer = self.registered ? Math.max(1, Math.round((size * (self.others.size + 1)) / self.servers.size)) : 0
  const ids = new Set<string>()
  for (const [id, { rank }] of self.servers) if (rank < perServer) ids.add(id)
  const wanted = self.registered ? Math.ceil(size / 4) : size
  if (ids.size < wanted) {
    const best = [...self.servers].toSorted(([, a], [, b]) => b.score - a.score || b.seed - a.seed)
    for (const [id] of best) if (ids.size < wanted) ids.add(id)
  }
  return ids
}
