/**
 * A Schedule taken one pause at a time. What it sees of the time goes on evenly, whoever sets the wall clock meanwhile.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"

/** Tells one pause after the other; whoever asks sleeps. */
export const steps = Effect.fnUntraced(function* <Input>(schedule: Schedule.Schedule<unknown, Input>) {
  const clock = yield* Clock.Clock
  const step = yield* Schedule.toStep(schedule)
  const begunAt = clock.currentTimeMillisUnsafe()
  const startedAt = clock.monotonicTimeNanosUnsafe()
  const now = () => begunAt + Number(clock.monotonicTimeNanosUnsafe() - startedAt) / 1e6
  return (input: Input) => Effect.suspend(() => Effect.map(step(now(), input), ([, pause]) => pause))
})

/** Sleeps one pause after the other, and can start over. The pause after the last one never ends. */
export const pauses = Effect.fnUntraced(function* (schedule: Schedule.Schedule<unknown>, ended: Effect.Effect<void>) {
  let next = yield* steps(schedule)
  let isFresh = true
  return {
    pause: Effect.suspend(() => {
      isFresh = false
      return next(undefined)
    }).pipe(
      Effect.flatMap(Effect.sleep),
      Pull.catchDone(() => Effect.andThen(ended, Effect.never))
    ),
    /** Whether nobody has paused since the start, or since it last started over. */
    isFresh: () => isFresh,
    reset: Effect.map(steps(schedule), (fresh) => {
      next = fresh
      isFresh = true
    })
  }
})
