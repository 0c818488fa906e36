/**
 * What an HTTP exchange says about the instance, and whether the request may be sent again.
 *
 * A request counts as not sent only when the connection itself was refused; everything else that goes wrong on the way
 * may have been executed.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Headers from "effect/http/Headers"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as LoadReport from "@muster/core/LoadReport"
import * as Outcome from "@muster/core/Outcome"

/** The instance is broken or overloaded (as in `HttpClient.circuitBreakerClassifier`), not just unable to do this. */
const failing: ReadonlySet<number> = new Set([408, 500, 502, 503, 504])

/** What stands between the request and the service failed, or the service says that it did not take the request. */
const elsewhere: ReadonlySet<number> = new Set([502, 503, 504])

/** Methods that may be executed twice (RFC 9110, 9.2.2). */
const idempotent: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])

export const ofResponse = (response: HttpClientResponse.HttpClientResponse, wall: number): Outcome.Outcome => {
  const { status } = response
  if (status !== 429 && !failing.has(status)) return Outcome.succeeded
  const retryAfter = status === 429 || status === 503 ? retryAfterOf(response.headers, wall) : undefined
  return status === 429 || retryAfter !== undefined ? { _tag: "PushedBack", retryAfter } : Outcome.failed
}

export const ofError = ({ reason }: HttpClientError.HttpClientError): Outcome.Outcome => {
  // What could not be encoded, or has no valid URL, says nothing about the instance.
  if (reason._tag !== "TransportError") return Outcome.interrupted
  return isRefused(reason.cause) ? Outcome.refused : Outcome.failed
}

/** Whether another instance may do better, the request allowing it. */
export const isWorthRetrying = ({ status }: HttpClientResponse.HttpClientResponse): boolean => elsewhere.has(status)

export const isIdempotent = ({ headers, method }: HttpClientRequest.HttpClientRequest): boolean =>
  idempotent.has(method) || "idempotency-key" in headers

/** Whether the body is still there after it was sent. */
export const isReplayable = ({ body }: HttpClientRequest.HttpClientRequest): boolean =>
  body._tag !== "Stream" && (body._tag !== "Raw" || typeof body.body === "string" || ArrayBuffer.isView(body.body))

/** Whether a body broke off because of the connection, and not because of what it says. */
export const isBroken = ({ reason }: HttpClientError.HttpClientError): boolean =>
  "cause" in reason && someCode(reason.cause, () => true)

/** Nobody listens there, or there is no way there: nothing was sent. */
const refusals: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT"
])

const isRefused = (cause: unknown): boolean => someCode(cause, (code) => refusals.has(code))

/** Looks for an error code along the causes, and in each of several addresses that were tried. */
const someCode = (cause: unknown, is: (code: string) => boolean): boolean => {
  if (Predicate.hasProperty(cause, "code") && typeof cause.code === "string") return is(cause.code)
  if (Predicate.hasProperty(cause, "errors") && Array.isArray(cause.errors) && cause.errors.length > 0) {
    return cause.errors.every((error) => someCode(error, is))
  }
  return Predicate.hasProperty(cause, "cause") && someCode(cause.cause, is)
}

/** What the instance says of its own load. */
export const reportOf = (headers: Headers.Headers): LoadReport.LoadReport | undefined => {
  const header = headers[LoadReport.header]
  return header === undefined ? undefined : LoadReport.parse(header)
}

/** How long the instance wants to be left alone, in milliseconds. */
const retryAfterOf = (headers: Headers.Headers, wall: number): number | undefined => {
  const header = headers["retry-after"]
  if (header === undefined) return undefined
  const parsed = Headers.parseRetryAfter(header)
  if (Result.isFailure(parsed)) return undefined
  const { success } = parsed
  return success._tag === "Duration"
    ? Duration.toMillis(success.duration)
    : Math.max(0, DateTime.toEpochMillis(success.dateTime) - wall)
}
