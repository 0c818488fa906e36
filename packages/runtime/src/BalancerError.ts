/**
 * Why no instance answered a request, as far as the balancer is concerned: the service, and a reason that says what the
 * caller can do. Errors of the request itself keep their own type and are never wrapped into this one.
 */
import * as Schema from "effect/Schema"
import { ServiceName } from "@muster/core/Endpoint"
import { Excluded } from "@muster/core/Explain"

/**
 * The registry has not told anything about the service within the time that the request could wait.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotLoaded extends Schema.TaggedError<NotLoaded>()("NotLoaded", { message: Schema.String }) {}

/**
 * The registry says that nobody serves this service, and nobody came within the time that the request could wait.
 * `excluded` are those who are listed and cannot be chosen all the same.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NoInstance extends Schema.TaggedError<NoInstance>()("NoInstance", {
  message: Schema.String,
  excluded: Schema.Array(Excluded)
}) {}

/**
 * Discovery gave up on the registry (`Policy.Rewatch` came to its end). It starts over with the next request.
 *
 * @category reasons
 * @since 0.1.0
 */
export class RegistryFailed extends Schema.TaggedError<RegistryFailed>()("RegistryFailed", {
  message: Schema.String
}) {}

/**
 * There is no instance left to try this request on: each was tried or asked to be left alone. `excluded` says what was
 * against each of them, up to 16.
 *
 * @category reasons
 * @since 0.1.0
 */
export class AllExcluded extends Schema.TaggedError<AllExcluded>()("AllExcluded", {
  message: Schema.String,
  excluded: Schema.Array(Excluded)
}) {}

/**
 * The instance did not answer within the deadline of one attempt (`Policy.Attempt`), or of the caller
 * (`Deadline.within`).
 *
 * @category reasons
 * @since 0.1.0
 */
export class DeadlineExceeded extends Schema.TaggedError<DeadlineExceeded>()("DeadlineExceeded", {
  message: Schema.String
}) {}

/**
 * The request could be tried elsewhere, but there are too many retries already (`Policy.RetryBudget`).
 *
 * @category reasons
 * @since 0.1.0
 */
export class BudgetSpent extends Schema.TaggedError<BudgetSpent>()("BudgetSpent", { message: Schema.String }) {}

/**
 * Why the balancer could not have a request answered.
 *
 * @category reasons
 * @since 0.1.0
 */
export const BalancerErrorReason = Schema.Union([
  NotLoaded,
  NoInstance,
  RegistryFailed,
  AllExcluded,
  DeadlineExceeded,
  BudgetSpent
])

/**
 * Why the balancer could not have a request answered.
 *
 * @category reasons
 * @since 0.1.0
 */
export type BalancerErrorReason = typeof BalancerErrorReason.Type

/**
 * No instance of the service answered.
 *
 * @category errors
 * @since 0.1.0
 */
export class BalancerError extends Schema.TaggedError<BalancerError>()("BalancerError", {
  service: ServiceName,
  reason: BalancerErrorReason
}) {
  /**
   * The service, what happened, and what to do.
   *
   * @since 0.1.0
   */
  override get message(): string {
    return `${this.service}: ${this.reason.message}`
  }
}
