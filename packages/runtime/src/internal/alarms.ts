/**
 * Many alarms under one timer, such as the deadlines of attempts.
 *
 * Nearly every attempt ends long before its time is over. So there is no timer for each of them, only an entry: one fiber
 * sleeps until the earliest alarm that it knew of when it lay down, rings where it is time, and lies down again; what
 * comes earlier wakes it up. It ends when there is nothing to wait for, and what is armed when the scope closes still
 * rings.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/** Rings in so many milliseconds, unless the function that it gives is called before. */
export type Arm = (millis: number, ring: () => void) => () => void

interface Alarm {
  readonly at: number
  readonly ring: () => void
}

export const make = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const fork = Effect.runForkWith(yield* Effect.context())
  const startedAt = clock.monotonicTimeNanosUnsafe()
  const now = () => Number(clock.monotonicTimeNanosUnsafe() - startedAt) / 1e6
  const armed = new Set<Alarm>()
  let sleeper: Fiber.Fiber<void> | undefined
  let wakesAt = Infinity
  let isReleased = false

  /** Also what is due within the next millisecond, because timers are no finer: many that follow each other ring together. */
  const ring = () => {
    const due = Math.max(wakesAt, now() + 1)
    for (const alarm of armed) if (alarm.at <= due && armed.delete(alarm)) alarm.ring()
  }

  const sleep: Effect.Effect<void> = Effect.suspend(() => {
    wakesAt = Infinity
    for (const { at } of armed) wakesAt = Math.min(wakesAt, at)
    if (wakesAt === Infinity) return Effect.void
    return Effect.andThen(Effect.sleep(Duration.millis(wakesAt - now())), () => {
      ring()
      return sleep
    })
  })

  const stopIfOver = () => {
    if (!isReleased || armed.size > 0) return
    sleeper?.interruptUnsafe()
    wakesAt = Infinity
  }

  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isReleased = true
      stopIfOver()
    })
  )

  const arm: Arm = (millis, ring) => {
    const alarm = { at: now() + millis, ring }
    armed.add(alarm)
    if (alarm.at < wakesAt) {
      sleeper?.interruptUnsafe()
      sleeper = fork(sleep)
    }
    return () => {
      armed.delete(alarm)
      stopIfOver()
    }
  }
  return arm
})
