/**
 * First come, first served, at most so many a second: who gives up waiting costs the others nothing.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"

/** An effect that completes when it is the caller's turn; `burst` turns may be taken at once after a pause. */
export const make = Effect.fnUntraced(function* (rate: { readonly perSecond: number; readonly burst: number }) {
  const interval = 1e9 / rate.perSecond
  const one = yield* Semaphore.make(1)
  let next = 0

  return Effect.gen(function* () {
    const now = Number(yield* Clock.monotonicTimeNanos)
    const at = Math.max(next, now - interval * (rate.burst - 1))
    yield* Effect.sleep(Duration.nanos(BigInt(Math.ceil(Math.max(0, at - now)))))
    next = at + interval
  }).pipe(one.withPermits(1))
})
