/**
 * The life of something that many share through an RcRef and that may fail while they hold it: it ends once, for one
 * reason, at a moment that everybody sees; whoever asks afterwards gets another, and who holds it may go on with it.
 */
import * as Effect from "effect/Effect"
import * as RcRef from "effect/RcRef"
import type * as Scope from "effect/Scope"
import type { GrpcError } from "./grpcError.ts"

export interface Lifespan {
  /** Why it is dead, if it is. */
  readonly failure: () => GrpcError | undefined
  /** Ends it; says whether it lived until now. */
  readonly end: (error: GrpcError) => boolean
  /** Says once that it has to be taken out of circulation. */
  readonly discard: () => boolean
}

export const make = (): Lifespan => {
  let failure: GrpcError | undefined
  let discarded = false
  return {
    failure: () => failure,
    end: (error) => {
      if (failure !== undefined) return false
      failure = error
      return true
    },
    discard: () => {
      if (discarded) return false
      return (discarded = true)
    }
  }
}

/** The one that all share, if it lives; a dead one is left to those who still hold it, and another is acquired. */
export const living = <A extends { readonly life: Lifespan }, E>(
  ref: RcRef.RcRef<A, E>
): Effect.Effect<A, E, Scope.Scope> =>
  Effect.flatMap(RcRef.get(ref), (shared) => {
    if (shared.life.failure() === undefined) return Effect.succeed(shared)
    return Effect.andThen(shared.life.discard() ? RcRef.invalidate(ref) : Effect.void, living(ref))
  })
