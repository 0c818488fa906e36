/**
 * The one error of every registry: which registry, which key, and a tagged reason that says what the caller can do.
 *
 * Back ends translate whatever their wire throws at them into one of these reasons and keep the original as `cause`.
 * Nobody above a back end looks at a driver's own errors.
 */
import * as Schema from "effect/Schema"
import { Endpoint } from "./Endpoint.ts"

const cause = Schema.optionalKey(Schema.Defect())

/**
 * The registry does not answer: refused, reset, without a leader, or gone. Trying again later may help.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", {
  message: Schema.String,
  cause
}) {}

/**
 * The registry did not answer within the deadline of the call. Trying again later may help.
 *
 * @category reasons
 * @since 0.1.0
 */
export class TimedOut extends Schema.TaggedError<TimedOut>()("TimedOut", { message: Schema.String, cause }) {}

/**
 * The registry has no room or no capacity for this call (full disk, quota, push-back). Reading may still work.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Exhausted extends Schema.TaggedError<Exhausted>()("Exhausted", { message: Schema.String, cause }) {}

/**
 * The registry does not know who we are: wrong or expired credentials.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unauthenticated extends Schema.TaggedError<Unauthenticated>()("Unauthenticated", {
  message: Schema.String,
  cause
}) {}

/**
 * The registry knows who we are and refuses: a missing permission, an unwritable file.
 *
 * @category reasons
 * @since 0.1.0
 */
export class PermissionDenied extends Schema.TaggedError<PermissionDenied>()("PermissionDenied", {
  message: Schema.String,
  cause
}) {}

/**
 * What answers cannot prove that it is the registry: its certificate is not signed by a trusted authority, has expired
 * or names another host.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Untrusted extends Schema.TaggedError<Untrusted>()("Untrusted", { message: Schema.String, cause }) {}

/**
 * The registry answered something that cannot be understood, such as a file that is no database.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unreadable extends Schema.TaggedError<Unreadable>()("Unreadable", { message: Schema.String, cause }) {}

/**
 * The lease is not known to the registry (any more): register again.
 *
 * @category reasons
 * @since 0.1.0
 */
export class LeaseLost extends Schema.TaggedError<LeaseLost>()("LeaseLost", { message: Schema.String, cause }) {}

/**
 * The lease lives but its entry is gone: put it back.
 *
 * @category reasons
 * @since 0.1.0
 */
export class EntryMissing extends Schema.TaggedError<EntryMissing>()("EntryMissing", {
  message: Schema.String,
  cause
}) {}

/**
 * Another process that started later owns this instance id now: stop claiming it. `by` is what it registered, where the
 * registry can tell.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Superseded extends Schema.TaggedError<Superseded>()("Superseded", {
  message: Schema.String,
  by: Schema.optionalKey(Endpoint),
  cause
}) {}

/**
 * Why a registry failed.
 *
 * @category reasons
 * @since 0.1.0
 */
export const RegistryErrorReason = Schema.Union([
  Unavailable,
  TimedOut,
  Exhausted,
  Unauthenticated,
  PermissionDenied,
  Untrusted,
  Unreadable,
  LeaseLost,
  EntryMissing,
  Superseded
])

/**
 * Why a registry failed.
 *
 * @category reasons
 * @since 0.1.0
 */
export type RegistryErrorReason = typeof RegistryErrorReason.Type

/**
 * A registry failed: `registry` names it as a target (`local:/run/orders.db`), `key` the service or entry concerned.
 *
 * @category errors
 * @since 0.1.0
 */
export class RegistryError extends Schema.TaggedError<RegistryError>()("RegistryError", {
  registry: Schema.String,
  key: Schema.String,
  reason: RegistryErrorReason
}) {
  /**
   * What happened, to which key of which registry.
   *
   * @since 0.1.0
   */
  override get message(): string {
    return `${this.registry}: ${this.key}: ${this.reason.message}`
  }

  /**
   * Whether waiting and trying the same call again may help without anybody acting.
   *
   * @since 0.1.0
   */
  get isTransient(): boolean {
    return this.reason._tag === "Unavailable" || this.reason._tag === "TimedOut" || this.reason._tag === "Exhausted"
  }
}
