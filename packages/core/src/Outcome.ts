/**
 * How an attempt ended, as far as the instance is concerned: a closed union that every protocol is translated into.
 */

/**
 * How an attempt ended, as far as the instance is concerned.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome =
  /** It answered, whatever it said. */
  | { readonly _tag: "Succeeded" }
  /** It answered that it is broken, reset the connection, or let the deadline of the attempt pass. */
  | { readonly _tag: "Failed" }
  /** Nobody accepted the connection: the request was not sent. */
  | { readonly _tag: "Refused" }
  /** It asked to be left alone, for so many milliseconds if it said so. */
  | { readonly _tag: "PushedBack"; readonly retryAfter: number | undefined }
  /** The caller lost interest: never a failure, but the time that was spent counts if it is above the estimate. */
  | { readonly _tag: "Interrupted" }

/**
 * The outcome of an answered request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const succeeded: Outcome = { _tag: "Succeeded" }

/**
 * The outcome of a failed request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const failed: Outcome = { _tag: "Failed" }

/**
 * The outcome of a refused connection.
 *
 * @category constructors
 * @since 0.1.0
 */
export const refused: Outcome = { _tag: "Refused" }

/**
 * The outcome of a request that its caller gave up.
 *
 * @category constructors
 * @since 0.1.0
 */
export const interrupted: Outcome = { _tag: "Interrupted" }

/**
 * Whether an outcome says nothing against the instance.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isHarmless = (outcome: Outcome): boolean => outcome._tag !== "Failed" && outcome._tag !== "Refused"
