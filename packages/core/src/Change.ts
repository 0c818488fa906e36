/**
 * What a registry may say about one service: a closed union with a full-state case.
 *
 * `Reset` replaces everything, `Changed` is exactly one revision of the registry, `Resumed` says that nothing was
 * missed since the cursor. Saying `Reset` again is always legal: the fold finds the difference, so a back end that
 * polls needs no diff of its own. What could not be read is reported beside the rest and never fails it.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Endpoint, InstanceId } from "./Endpoint.ts"

/**
 * A position in a registry's history, opaque to all but the back end that made it.
 *
 * @category models
 * @since 0.1.0
 */
export const Cursor = Schema.String.pipe(Schema.brand("Cursor"))

/**
 * A position in a registry's history.
 *
 * @category models
 * @since 0.1.0
 */
export type Cursor = typeof Cursor.Type

/**
 * One instance appeared or changed (`Put`), or left (`Removed`).
 *
 * @category models
 * @since 0.1.0
 */
export const Delta = Schema.TaggedUnion({
  Put: { endpoint: Endpoint },
  Removed: { id: InstanceId }
})

/**
 * One instance appeared, changed or left.
 *
 * @category models
 * @since 0.1.0
 */
export type Delta = typeof Delta.Type

/**
 * An entry that could not be read: its key, the instance it speaks of where the key tells, and what is wrong.
 * An instance that is already known keeps its last good endpoint for as long as its entry exists.
 *
 * @category models
 * @since 0.1.0
 */
export const Skipped = Schema.Struct({
  key: Schema.String,
  id: Schema.optionalKey(InstanceId),
  problem: Schema.String
})

/**
 * An entry that could not be read.
 *
 * @category models
 * @since 0.1.0
 */
export type Skipped = typeof Skipped.Type

const skipped = Schema.Array(Skipped).pipe(
  Schema.withDecodingDefaultKey(Effect.succeed([])),
  Schema.withConstructorDefault(Effect.succeed([]))
)

/**
 * What a registry may say about one service.
 *
 * @category models
 * @since 0.1.0
 */
export const Change = Schema.TaggedUnion({
  /** The whole inventory as of `cursor`. */
  Reset: { endpoints: Schema.Array(Endpoint), cursor: Cursor, skipped },
  /** One revision of the registry: its deltas belong together. */
  Changed: { deltas: Schema.Array(Delta), cursor: Cursor, skipped },
  /** The cursor that was asked for still holds: nothing was missed. */
  Resumed: { cursor: Cursor }
})

/**
 * What a registry may say about one service.
 *
 * @category models
 * @since 0.1.0
 */
export type Change = typeof Change.Type
