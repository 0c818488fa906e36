/**
 * What was looked up a moment ago, by its key: one lookup for all who ask meanwhile, and none that failed is kept.
 *
 * Effect's Cache alone goes by the wall clock: where that is set back by an hour, it would believe for an hour what it
 * has. Here age is a matter of the monotonic clock.
 */
import * as Cache from "effect/Cache"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

interface Found<A> {
  readonly value: A
  /** By the monotonic clock, in milliseconds. */
  readonly at: number
}

/** Remembers so many keys, each for so long. */
export const make = Effect.fnUntraced(function* <Key, A, E>(options: {
  readonly capacity: number
  readonly timeToLive: Duration.Duration
  readonly lookup: (key: Key) => Effect.Effect<A, E>
}) {
  const { capacity, lookup } = options
  const clock = yield* Clock.Clock
  const timeToLive = Duration.toMillis(options.timeToLive)
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const isOld = ({ at }: Found<A>) => now() - at >= timeToLive
  const cache = yield* Cache.makeWith(
    (key: Key) => Effect.map(lookup(key), (value): Found<A> => ({ value, at: now() })),
    { capacity, timeToLive: (exit) => (Exit.isSuccess(exit) ? Duration.infinity : Duration.zero) }
  )

  const valueOf = ({ value }: Found<A>) => value
  const again = (key: Key) =>
    Effect.andThen(Cache.invalidateWhen(cache, key, isOld), Effect.map(Cache.get(cache, key), valueOf))

  return {
    /** What is known, unless that is too old. */
    get: (key: Key): Effect.Effect<A, E> =>
      Effect.flatMap(Cache.get(cache, key), (found) => (isOld(found) ? again(key) : Effect.succeed(found.value))),
    /** What is there now. */
    refresh: (key: Key): Effect.Effect<A, E> => Effect.map(Cache.refresh(cache, key), valueOf)
  }
})
