/**
 * First come, first served, at most so many a second: who gives up waiting costs the others nothing.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { TimedOut } from "@muster/core/RegistryError"

export interface Turns {
  /** Completes when it is the caller's turn, at once if that is now; fails when that takes too long. */
  readonly take: Effect.Effect<void, TimedOut>
  /**
   * Whether whoever had his turn may go on alone, at the cost of a call of his own: a quarter of the pace at most, and
   * nobody while others wait.
   */
  readonly mayGoAlone: () => boolean
}

/** `burst` turns may be taken at once after a pause; nobody waits longer than his patience. */
export const make = Effect.fnUntraced(function* (
  rate: {
    readonly perSecond: number
    readonly burst: number
  },
  patience: Duration.Duration
): Effect.fn.Return<Turns> {
  const clock = yield* Clock.Clock
  const now = () => Number(clock.monotonicTimeNanosUnsafe())
  const one = yield* Semaphore.make(1)
  const turns = bucket(1e9 / rate.perSecond, rate.burst)
  const alone = bucket(4e9 / rate.perSecond, rate.burst)
  let waiting = 0

  const turn = Effect.suspend(() => {
    const time = now()
    const at = turns.next(time)
    const wait = at > time ? Effect.sleep(Duration.nanos(BigInt(Math.ceil(at - time)))) : Effect.void
    return Effect.andThen(
      wait,
      Effect.sync(() => turns.taken(at))
    )
  })

  const queue = Effect.suspend(() => {
    waiting++
    return Effect.ensuring(
      one.withPermits(1)(turn),
      Effect.sync(() => waiting--)
    )
  }).pipe(Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.fail(tooMany) }))

  return {
    take: Effect.suspend(() => {
      const time = now()
      const at = turns.next(time)
      if (waiting > 0 || at > time) return queue
      turns.taken(at)
      return Effect.void
    }),
    mayGoAlone: () => {
      const time = now()
      const at = alone.next(time)
      if (waiting > 0 || at > time) return false
      alone.taken(at)
      return true
    }
  }
})

const tooMany = new TimedOut({ message: "many other registrations of this client come first" })

/** One every `interval` nanoseconds, and after a pause `burst` at once. */
const bucket = (interval: number, burst: number) => {
  let next = 0
  return {
    /** When the next one is due: not after now while there is one left. */
    next: (now: number) => Math.max(next, now - interval * (burst - 1)),
    taken: (at: number) => void (next = at + interval)
  }
}
