/**
 * The rate limit of a loop that asks a registry again after each answer: a token bucket.
 *
 * A few answers in quick succession are not delayed at all, which is what a registry that changes now and then sees; one
 * that answers all the time is asked once in each interval. (Consul documents this for its blocking queries and names a
 * burst of two.)
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

const burst = 4

/** Makes buckets that are full and get a token back in each `interval`; each one is an effect that waits for its turn. */
export const make = (clock: Clock.Clock, interval: Duration.Duration) => {
  const every = Duration.toMillis(interval)
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  return (): Effect.Effect<void> => {
    let paidUntil = 0
    return Effect.suspend(() => {
      const at = now()
      paidUntil = Math.max(at, paidUntil) + every
      const early = paidUntil - at - burst * every
      return early <= 0 ? Effect.void : Effect.sleep(Duration.millis(early))
    })
  }
}
