/**
 * Waiting until something that nobody announces is true: looked at every 20 ms.
 */
import { Effect, Schedule } from "effect"

export const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.sync(condition).pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (holds) => holds }),
    Effect.asVoid
  )
