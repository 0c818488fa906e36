/**
 * The rounds in which the instances of one service are checked, for as long as somebody uses the service.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Checks from "@muster/core/Checks"
import * as Outcome from "@muster/core/Outcome"
import type * as Roster from "@muster/core/Roster"
import type { Options } from "../HealthCheck.ts"

export const rounds = (
  { check, concurrency, schedule, silence, within }: Options,
  roster: Roster.Roster,
  now: () => number,
  random: () => number
): Effect.Effect<never> => {
  const examine = (member: Roster.Member) =>
    Effect.suspend(() => {
      // It may have left while the round waited for others, and its slot be somebody else's.
      if (member.departed) return Effect.void
      const begun = Checks.start(roster, member, now())
      return Effect.suspend(() => check(member.endpoint)).pipe(
        Effect.timeoutOrElse({ duration: within, orElse: () => Effect.succeed(Outcome.failed) }),
        Effect.onExit((exit) =>
          Effect.sync(() =>
            Checks.settle(roster, begun, Exit.isSuccess(exit) ? exit.value : Outcome.interrupted, now(), random)
          )
        ),
        // A check that dies is a mistake in the check, which says nothing of the instance and stops nobody. Nor does one
        // that was interrupted; who interrupts the round gets past this.
        Effect.catchCause((cause) => Effect.logError("a health check died", cause))
      )
    })

  return Effect.suspend(() =>
    Effect.forEach(Checks.due(roster, now(), Duration.toMillis(silence)), examine, { concurrency, discard: true })
  ).pipe(Effect.repeat(schedule), Effect.andThen(Effect.never))
}
