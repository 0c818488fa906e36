/**
 * First come, first served, at most so many a second: who gives up waiting costs the others nothing.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"

export interface Turns {
  /** Completes when it is the caller's turn. */
  readonly take: Effect.Effect<void>
  /** Whether anybody waits. */
  readonly isBusy: () => boolean
}

/** `burst` turns may be taken at once after a pause. */
export const make = Effect.fnUntraced(function* (rate: {
  readonly perSecond: number
  readonly burst: number
}): Effect.fn.Return<Turns> {
  const interval = 1e9 / rate.perSecond
  const one = yield* Semaphore.make(1)
  let waiting = 0
  let next = 0

  const turn = Effect.gen(function* () {
    const now = Number(yield* Clock.monotonicTimeNanos)
    const at = Math.max(next, now - interval * (rate.burst - 1))
    if (at > now) yield* Effect.sleep(Duration.nanos(BigInt(Math.ceil(at - now))))
    next = at + interval
  })

  return {
    take: Effect.suspend(() => {
      waiting++
      return Effect.ensuring(
        one.withPermits(1)(turn),
        Effect.sync(() => waiting--)
      )
    }),
    isBusy: () => waiting > 0
  }
})
