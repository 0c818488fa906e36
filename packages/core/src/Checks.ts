/**
 * Active checks: who is to be asked whether it is well though no request says so, and what comes of the answer.
 *
 * An instance that was taken out is asked instead of being tried with a request, as soon as it may be; one in use is
 * asked when nothing was heard of it for a while. A check that fails counts like a request that fails. One that succeeds
 * brings an instance back or ends a row of failures, and says nothing else: it is no request, so neither its latency nor
 * its success is counted. One that was interrupted says nothing at all.
 * Synchronous, with time and randomness passed in, as `Attempt` is.
 */
import * as Attempt from "./Attempt.ts"
import * as Health from "./Health.ts"
import * as Load from "./Load.ts"
import type { Outcome } from "./Outcome.ts"
import * as Roster from "./Roster.ts"

/**
 * Whom to ask now: those that are out and may be tried, and those in use that have nothing to do and either failed last
 * or were not heard of for `silence` milliseconds.
 *
 * @category getters
 * @since 0.1.0
 */
export const due = (self: Roster.Roster, now: number, silence: number): ReadonlyArray<Roster.Member> =>
  [...self.members.values()].filter((member) =>
    Health.isInUse(member.health) ? isDoubtful(self, member, now, silence) : now >= Health.probeAt(member.health, true)
  )

const isDoubtful = (
  { load }: Roster.Roster,
  { endpoint, slot }: Roster.Member,
  now: number,
  silence: number
): boolean =>
  !endpoint.draining &&
  Load.requestsInFlight(load, slot) === 0 &&
  (now - Load.heardAt(load, slot) >= silence || Load.evidence(load, slot).streak > 0)

/**
 * Begins a check. While it lasts, no request is sent to find out whether the instance is well.
 *
 * @category combinators
 * @since 0.1.0
 */
export const start = (self: Roster.Roster, member: Roster.Member, now: number): Attempt.Attempt => {
  const isProbe = !Health.isInUse(member.health)
  if (isProbe) Roster.dispatch(self, member, { _tag: "ProbeStarted", at: now })
  return { member, slot: member.slot, startedAt: now, isProbe, outcome: undefined, ended: true }
}

/**
 * Takes note of how a check turned out.
 *
 * @category combinators
 * @since 0.1.0
 */
export const settle = (
  self: Roster.Roster,
  check: Attempt.Attempt,
  outcome: Outcome,
  now: number,
  random: () => number
): void => {
  const { isProbe, member } = check
  if (outcome._tag !== "Succeeded" && outcome._tag !== "Interrupted") {
    return Attempt.settle(self, check, outcome, now, random)
  }
  if (member.departed) return
  const decides = isProbe && member.health._tag === "Probing"
  if (outcome._tag === "Interrupted") {
    if (decides) Roster.dispatch(self, member, { _tag: "ProbeCancelled", at: now })
    return
  }
  if (!decides) return Load.endStreak(self.load, member.slot)
  Load.pardon(self.load, member.slot, 0, now)
  Roster.dispatch(self, member, { _tag: "Succeeded", at: now })
}
