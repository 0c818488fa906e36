/**
 * Muster's own balancer as a client of the simulator: the real Roster, Attempt, Load, Pick and Health.
 */
import { Attempt, Outcome, type Pick, Roster, Snapshot, Subset } from "@muster/core"
import { Effect } from "effect"
import { epoch, type Make, serverOf, type World } from "./Client.ts"

export const defaults: Roster.Options = Effect.runSync(Roster.options)

/** By code of the answer; 500 counts as a failure. */
const outcomes: ReadonlyArray<Outcome.Outcome> = [
  Outcome.succeeded,
  Outcome.failed,
  Outcome.refused,
  { _tag: "PushedBack", retryAfter: 1000 },
  Outcome.interrupted,
  Outcome.failed
]

/** A client with this policy; every request is one that may be repeated. `made` is shown the roster of each client. */
export const make =
  (
    policy: Pick.Policy,
    options: Partial<Roster.Options> = {},
    made: (roster: Roster.Roster) => void = () => {}
  ): Make =>
  (world) => {
    const { random, log, zone } = world
    const used = subsetOf(world)
    const roster = Roster.make(
      { ...defaults, zones: { ...defaults.zones, own: zone }, policy, ...options },
      (event) => {
        if (event._tag !== "HealthChanged") return
        log({ at: event.at, server: serverOf(event.endpoint), what: event.health._tag })
      }
    )
    made(roster)
    const attempts: Array<Attempt.Attempt> = []
    return {
      follow: (snapshot, now) => Roster.apply(roster, used(snapshot), now, epoch + now),
      choose: (flight, now, _size, earlier) => {
        const before = earlier.length === 0 ? none : earlier.map((flight) => attempts[flight])
        const attempt = Attempt.pick(roster, now, random, true, before)
        if (attempt === undefined) return -1
        attempts[flight] = attempt
        return serverOf(attempt.member.endpoint)
      },
      settle: (flight, _server, code, _elapsed, now) => {
        const attempt = attempts[flight]
        Attempt.settle(roster, attempt, outcomes[code], now, random)
        Attempt.end(roster, attempt)
      }
    }
  }

const none: ReadonlyArray<Attempt.Attempt> = []

/** The part of a list that a client uses, which is registered as all others are. */
const subsetOf = ({ client, clients, subset: size }: World): ((snapshot: Snapshot.Snapshot) => Snapshot.Snapshot) => {
  if (size === undefined) return (snapshot) => snapshot
  const names = new Set(Array.from({ length: clients }, (_, index) => `c${index}`))
  const subset = Subset.make({ size, above: 0 }, `c${client}`)
  return (snapshot) => {
    const endpoints = Snapshot.endpoints(snapshot)
    Subset.follow(subset, new Set(endpoints.map(({ id }) => id)), names)
    const chosen = Subset.chosen(subset)
    return Snapshot.make(endpoints.filter(({ id }) => chosen.has(id)))
  }
}
