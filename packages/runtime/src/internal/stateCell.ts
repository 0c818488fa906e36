/**
 * The state of an actor: one synchronous writer, any number of readers.
 *
 * `get` never waits. `changes` gives the current state and then the newest one whenever it differs, so a slow reader
 * costs no memory and misses only what is outdated already. Setting the same reference is no change.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Stream from "effect/Stream"

export interface StateCell<A> {
  readonly get: () => A
  readonly set: (state: A) => void
  readonly changes: Stream.Stream<A>
}

export const make = <A>(initial: A): StateCell<A> => {
  let state = initial
  /** Only where somebody waits: most states are never waited for. */
  let changed: Latch.Latch | undefined
  const next = (seen: A | undefined): Effect.Effect<A> =>
    Effect.suspend(() => {
      if (state !== seen) return Effect.succeed(state)
      changed ??= Latch.makeUnsafe(false)
      return Effect.flatMap(changed.await, () => next(seen))
    })
  return {
    get: () => state,
    set: (next) => {
      if (next === state) return
      state = next
      const waiting = changed
      changed = undefined
      waiting?.openUnsafe()
    },
    changes: Stream.unfold<A | undefined, A, never, never>(undefined, (seen) =>
      Effect.map(next(seen), (state) => [state, state] as const)
    )
  }
}
