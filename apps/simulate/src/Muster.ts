/**
 * Muster's own balancer as a client of the simulator: the real Roster, Attempt, Load, Pick and Health.
 */
import { Attempt, Outcome, type Pick, Roster } from "@muster/core"
import { Effect } from "effect"
import { epoch, type Make, serverOf } from "./Client.ts"

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
  ({ random, log, zone }) => {
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
      follow: (snapshot, now) => Roster.apply(roster, snapshot, now, epoch + now),
      choose: (flight, now, _size, earlier) => {
        const before = earlier.length === 0 ? none : earlier.map((flight) => attempts[flight])
        const attempt = Attempt.pick(roster, now, random, true, before)
        if (attempt === undefined) return -1
        attempts[flight] = attempt
        return serverOf(attempt.endpoint)
      },
      settle: (flight, _server, code, _elapsed, now) => {
        const attempt = attempts[flight]
        Attempt.settle(roster, attempt, outcomes[code], now, random)
        Attempt.end(roster, attempt)
      }
    }
  }

const none: ReadonlyArray<Attempt.Attempt> = []
