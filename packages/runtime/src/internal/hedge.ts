/**
 * Two attempts of one request, the second only if the first takes its time: the first good answer wins.
 *
 * The loser is interrupted. An attempt that ended badly waits for the other one; an attempt that ended before its time
 * was over is all there is. If both ended badly the last one counts, but never a second one that was not even made.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"

/** What is done about a first attempt that takes its time, and what is thought of the answers. */
export interface Options<A, E, R> {
  readonly after: Duration.Duration
  /** Completes when the time of the first attempt begins. */
  readonly begun: Effect.Effect<void>
  readonly second: Effect.Effect<A, E, R>
  readonly isGood: (answer: A) => boolean
  /** Whether the attempt was not even made. */
  readonly isNotMade: (error: E) => boolean
  /** Does away with an answer that nobody wants. */
  readonly drop: (answer: A) => Effect.Effect<unknown>
  /** The second attempt was the first to give a good answer. */
  readonly won: Effect.Effect<void>
}

export const hedged = <A, E, R>(first: Effect.Effect<A, E, R>, options: Options<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const isOver = Latch.makeUnsafe(false)
    let result: Exit.Exit<A, E> | undefined
    let isDecided = false

    /** Of a result that is replaced, or that nobody waits for any more. */
    const drop = () => (result !== undefined && Exit.isSuccess(result) ? options.drop(result.value) : Effect.void)

    /** Takes note of how an attempt ended, and succeeds only if that was well. */
    const leg = (attempt: Effect.Effect<A, E, R>, won: Effect.Effect<void>, mayBeUnmade: boolean) =>
      Effect.onExitPrimitive(attempt, (exit) => {
        if (isDecided || (mayBeUnmade && Option.exists(Exit.findErrorOption(exit), options.isNotMade))) return undefined
        const dropped = drop()
        result = exit
        isDecided = Exit.isSuccess(exit) && options.isGood(exit.value)
        return isDecided ? Effect.andThen(won, dropped) : dropped
      }).pipe(Effect.andThen(() => (isDecided ? Effect.void : notGood)))

    const isLate = Effect.raceFirst(
      Effect.as(Effect.andThen(options.begun, Effect.sleep(options.after)), true),
      Effect.as(isOver.await, false)
    )
    const both = Effect.raceAll([
      Effect.ensuring(leg(first, Effect.void, false), isOver.open),
      Effect.flatMap(isLate, (late) => (late ? leg(options.second, options.won, true) : notGood))
    ])
    return Effect.exit(both).pipe(
      Effect.flatMap(() => result ?? Effect.interrupt),
      Effect.onInterrupt(drop)
    )
  })

const notGood = Effect.fail("not good" as const)
