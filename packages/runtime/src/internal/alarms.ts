/**
 * Many alarms under one timer, such as the deadlines of attempts.
 *
 * Nearly every attempt ends long before its time is over. So there is no timer for each of them, only an entry: one fiber
 * sleeps until the earliest alarm that it knew of when it lay down, rings where it is time, and lies down again; what
 * comes earlier wakes it up. It ends when there is nothing to wait for.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

/** Rings in so many milliseconds, unless the function that it gives is called before. */
export type Arm = (millis: number, ring: () => void) => () => void

interface Alarm {
  readonly at: number
  /**
   * Nothing once it is over. V8 keeps the tables that a Set has outgrown for as long as an older one has not been
   * collected, with all that was in them: they would hand on every attempt that was under way when the Set grew.
   */
  ring: (() => void) | undefined
}

/** `release` says that the sleeper is not to sleep on once nothing is armed. */
const start = (clock: Clock.Clock) => {
  const fork = Effect.runForkWith(Context.make(Clock.Clock, clock))
  const startedAt = clock.monotonicTimeNanosUnsafe()
  const now = () => Number(clock.monotonicTimeNanosUnsafe() - startedAt) / 1e6
  const armed = new Set<Alarm>()
  let sleeper: Fiber.Fiber<void> | undefined
  let wakesAt = Infinity
  let isReleased = false

  const forget = (alarm: Alarm) => {
    armed.delete(alarm)
    alarm.ring = undefined
  }

  /** Also what is due within the next millisecond, because timers are no finer: many that follow each other ring together. */
  const ring = () => {
    const due = Math.max(wakesAt, now() + 1)
    for (const alarm of armed) {
      if (alarm.at > due) continue
      const { ring } = alarm
      forget(alarm)
      try {
        ring?.()
      } catch (defect) {
        // Whoever listens to what it ends threw: that is nothing to the alarms of the others.
        queueMicrotask(() => {
          throw defect
        })
      }
    }
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

  const arm: Arm = (millis, ring) => {
    const alarm: Alarm = { at: now() + millis, ring }
    armed.add(alarm)
    if (alarm.at < wakesAt) {
      sleeper?.interruptUnsafe()
      sleeper = fork(sleep)
    }
    return () => {
      forget(alarm)
      stopIfOver()
    }
  }

  const release = () => {
    isReleased = true
    stopIfOver()
  }
  return { arm, release }
}

/** Alarms of a scope; what is armed when it closes still rings. */
export const make = Effect.gen(function* () {
  const { arm, release } = start(yield* Clock.Clock)
  yield* Effect.addFinalizer(() => Effect.sync(release))
  return arm
})

const byClock = new WeakMap<Clock.Clock, Arm>()

/**
 * The alarms that all who have this clock share, for what comes in crowds: nobody sleeps while none of them is armed. For
 * clocks whose timers keep step with their monotonic time.
 */
export const on = (clock: Clock.Clock): Arm => {
  const known = byClock.get(clock)
  if (known !== undefined) return known
  const { arm, release } = start(clock)
  release()
  byClock.set(clock, arm)
  return arm
}

/**
 * The effect, or this failure if it takes longer, give or take a millisecond: `Effect.timeoutOrElse` with one fiber instead
 * of two, and no timer of its own.
 */
export const within = <A, E>(
  arm: Arm,
  millis: number,
  effect: Effect.Effect<A, E>,
  late: () => Exit.Exit<never, E>
): Effect.Effect<A, E> =>
  Effect.contextWith((context) =>
    Effect.callback<A, E>((resume) => {
      let instead: Exit.Exit<never, E> | undefined
      const fiber = Effect.runForkWith(context)(effect)
      const already = fiber.pollUnsafe()
      if (already !== undefined) return resume(already)
      const disarm = arm(millis, () => {
        instead = late()
        fiber.interruptUnsafe()
      })
      fiber.addObserver((exit) => {
        disarm()
        resume(instead ?? exit)
      })
      return Fiber.interrupt(fiber)
    })
  )
