/**
 * A Schedule taken one pause at a time, which can start over. The pause after the last one never ends.
 */
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"

export const pauses = Effect.fnUntraced(function* (schedule: Schedule.Schedule<unknown>, ended: Effect.Effect<void>) {
  let next = yield* Schedule.toStepWithSleep(schedule)
  let isFresh = true
  return {
    pause: Effect.suspend(() => {
      isFresh = false
      return next(undefined)
    }).pipe(
      Pull.catchDone(() => Effect.andThen(ended, Effect.never)),
      Effect.asVoid
    ),
    reset: Effect.suspend(() =>
      isFresh
        ? Effect.void
        : Effect.map(Schedule.toStepWithSleep(schedule), (fresh) => {
            next = fresh
            isFresh = true
          })
    )
  }
})
