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

/**
 * One of those that are armed, and its neighbours among them. Whatever is over has neither neighbours nor anything to
 * ring: V8 may keep what got old for long, and would keep all with it that came later.
 */
interface Alarm {
  readonly at: number
  ring: (() => void) | undefined
  earlier: Alarm | undefined
  later: Alarm | undefined
}

/** `release` says that the sleeper is not to sleep on once nothing is armed. */
const start = (clock: Clock.Clock) => {
  const fork = Effect.runForkWith(Context.make(Clock.Clock, clock))
  const startedAt = clock.monotonicTimeNanosUnsafe()
  const now = () => Number(clock.monotonicTimeNanosUnsafe() - startedAt) / 1e6
  /** All that are armed, in the order in which they were. */
  let first: Alarm | undefined
  let last: Alarm | undefined
  let sleeper: Fiber.Fiber<void> | undefined
  let wakesAt = Infinity
  let isReleased = false

  const add = (alarm: Alarm) => {
    alarm.earlier = last
    if (last === undefined) first = alarm
    else last.later = alarm
    last = alarm
  }

  const forget = (alarm: Alarm) => {
    if (alarm.ring === undefined) return
    const { earlier, later } = alarm
    if (earlier === undefined) first = later
    else earlier.later = later
    if (later === undefined) last = earlier
    else later.earlier = earlier
    alarm.ring = alarm.earlier = alarm.later = undefined
  }

  const dueBy = (time: number) => {
    const due: Array<Alarm> = []
    for (let alarm = first; alarm !== undefined; alarm = alarm.later) if (alarm.at <= time) due.push(alarm)
    return due
  }

  /** Also what is due within the next millisecond, because timers are no finer: many that follow each other ring together. */
  const ring = () => {
    for (const alarm of dueBy(Math.max(wakesAt, now() + 1))) {
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
    for (let alarm = first; alarm !== undefined; alarm = alarm.later) wakesAt = Math.min(wakesAt, alarm.at)
    if (wakesAt === Infinity) return Effect.void
    return Effect.andThen(Effect.sleep(Duration.millis(wakesAt - now())), () => {
      ring()
      return sleep
    })
  })

  const stopIfOver = () => {
    if (!isReleased || first !== undefined) return
    sleeper?.interruptUnsafe()
    wakesAt = Infinity
  }

  const arm: Arm = (millis, ring) => {
    const alarm: Alarm = { at: now() + millis, ring, earlier: undefined, later: undefined }
    add(alarm)
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
