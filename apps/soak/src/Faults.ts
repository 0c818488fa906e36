/**
 * What can happen to a cluster of three etcd members behind proxies: each fault strikes, lasts, and heals completely.
 *
 * Which one, on which member and for how long is drawn from the seeded Random of the run, so that a seed repeats it.
 */
import { Duration, Effect, Random } from "effect"
import type * as EtcdServer from "../../../packages/backends/test/fixtures/EtcdServer.ts"
import type * as TcpProxy from "../../../packages/backends/test/fixtures/TcpProxy.ts"

import * as Operator from "./Operator.ts"

export interface Member {
  readonly server: EtcdServer.EtcdServer
  /** What clients connect to. */
  readonly proxy: TcpProxy.TcpProxy
}

export interface Fault {
  readonly name: string
  readonly strike: Effect.Effect<void>
  readonly lasts: Duration.Duration
  readonly heal: Effect.Effect<void>
}

type Kind = (members: ReadonlyArray<Member>) => Effect.Effect<Pick<Fault, "strike" | "heal">>

const one = (members: ReadonlyArray<Member>) => Random.choice(members).pipe(Effect.orDie)

/** The member that leads; any member where none says so. */
const leader = Effect.fnUntraced(function* (members: ReadonlyArray<Member>) {
  for (const member of members) if (yield* Operator.leads(member.server.address)) return member
  return yield* one(members)
})

const cut = (members: ReadonlyArray<Member>) => ({
  strike: Effect.forEach(members, ({ proxy }) => proxy.refuse, { discard: true }),
  heal: Effect.forEach(members, ({ proxy }) => proxy.heal, { discard: true })
})

const restarted = ({ server }: Member) => ({ strike: server.kill, heal: server.start })

const kinds: Readonly<Record<string, Kind>> = {
  kill: (members) => Effect.map(one(members), restarted),
  killLeader: (members) => Effect.map(leader(members), restarted),
  stop: (members) =>
    Effect.map(one(members), ({ server }) => ({
      strike: server.pause,
      heal: Effect.andThen(server.resume, server.ready)
    })),
  cutLinks: (members) => Effect.succeed(cut(members)),
  blackHole: (members) => Effect.map(one(members), ({ proxy }) => ({ strike: proxy.blackHole(), heal: proxy.heal })),
  halfOpen: (members) =>
    Effect.map(one(members), ({ proxy }) => ({ strike: proxy.blackHole("toClient"), heal: proxy.heal })),
  compact: (members) => {
    const { heal, strike } = cut(members)
    const compacted = Effect.orDie(Operator.compact(members.map(({ server }) => server.address)))
    return Effect.succeed({ strike, heal: Effect.andThen(compacted, heal) })
  },
  wipe: (members) =>
    Effect.succeed({
      strike: Effect.forEach(members, ({ server }) => server.wipe, { concurrency: "unbounded", discard: true }),
      heal: Effect.forEach(members, ({ server }) => server.start, { concurrency: "unbounded", discard: true })
    })
}

export const names: ReadonlyArray<string> = Object.keys(kinds)

/** Draws what happens next; each kind is as likely as any other. */
export const draw = Effect.fnUntraced(function* (members: ReadonlyArray<Member>): Effect.fn.Return<Fault> {
  const [name, kind] = yield* Random.choice(Object.entries(kinds)).pipe(Effect.orDie)
  const lasts = Duration.millis(yield* Random.nextIntBetween(300, 2_000))
  return { name, lasts, ...(yield* kind(members)) }
})
