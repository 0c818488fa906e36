/**
 * What Node calls an error of a connection: its code, wherever it is.
 */
import * as Predicate from "effect/Predicate"

/** Looks for an error code along the causes, and in each of several addresses that were tried. */
export const someCode = (cause: unknown, is: (code: string, error: object) => boolean): boolean => {
  // First, because what sums them up has the code of one of them, and no address.
  if (Predicate.hasProperty(cause, "errors") && Array.isArray(cause.errors) && cause.errors.length > 0) {
    return cause.errors.every((error) => someCode(error, is))
  }
  if (Predicate.hasProperty(cause, "code") && typeof cause.code === "string") return is(cause.code, cause)
  return Predicate.hasProperty(cause, "cause") && someCode(cause.cause, is)
}
