/**
 * What is given to a layer holds for its requests too.
 *
 * A reference that is read for each request is read where the request is made; without this it would be silently ignored
 * where a layer is given one, although that is how all others are given.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"

type Layer = Context.Context<never>
type Around = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Provides what `pick` finds that this layer was given, unless something else is provided around the effect. */
export const around = (pick: (layer: Layer) => Layer): Effect.Effect<Around> =>
  Effect.contextWith((layer: Layer) => {
    const given = pick(layer)
    const provide: Around = (effect) => Effect.updateContext(effect, (outer) => Context.merge(given, outer))
    return Effect.succeed(given.mapUnsafe.size === 0 ? identity : provide)
  })
