/**
 * What an HTTP exchange says about the instance, and whether the request may be sent again.
 *
 * A request counts as not sent only when the instance itself refused the connection; everything else that goes wrong on
 * the way may have been executed. So may one that was redirected, by a client that follows, to somebody who refuses.
 */
import { isIP } from "node:net"
import { Readable } from "node:stream"
import type * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Headers from "effect/http/Headers"
import * as HttpBody from "effect/http/HttpBody"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as LoadReport from "@muster/core/LoadReport"
import * as Outcome from "@muster/core/Outcome"
import { someCode } from "./errorCodes.ts"

/** The instance is broken or overloaded (as in `HttpClient.circuitBreakerClassifier`), not just unable to do this. */
const failing: ReadonlySet<number> = new Set([408, 500, 502, 503, 504])

/** What stands between the request and the service failed, or the service says that it did not take the request. */
const elsewhere: ReadonlySet<number> = new Set([502, 503, 504])

/** Methods that may be executed twice (RFC 9110, 9.2.2). */
const idempotent: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])

export const ofResponse = (response: HttpClientResponse.HttpClientResponse, clock: Clock.Clock): Outcome.Outcome => {
  const { status } = response
  if (status !== 429 && !failing.has(status)) return Outcome.succeeded
  const retryAfter =
    status === 429 || status === 503 ? retryAfterOf(response.headers, clock.currentTimeMillisUnsafe()) : undefined
  return status === 429 || retryAfter !== undefined ? { _tag: "PushedBack", retryAfter } : Outcome.failed
}

/** `asked` is the URL at which the instance was asked. */
export const ofError = ({ reason }: HttpClientError.HttpClientError, asked: string): Outcome.Outcome => {
  // What could not be encoded, or has no valid URL, says nothing about the instance. Nor does what happened elsewhere.
  if (reason._tag !== "TransportError") return Outcome.interrupted
  const instance = URL.parse(asked)
  if (instance === null || URL.parse(reason.request.url)?.host !== instance.host) return Outcome.interrupted
  if (!someCode(reason.cause, (code, error) => refusals.has(code) && !isOpen(error))) return Outcome.failed
  return someCode(reason.cause, (_, error) => isAbout(error, instance)) ? Outcome.refused : Outcome.interrupted
}

/** Whether another instance may do better, the request allowing it. */
export const isWorthRetrying = ({ status }: HttpClientResponse.HttpClientResponse): boolean => elsewhere.has(status)

export const isIdempotent = ({ headers, method }: HttpClientRequest.HttpClientRequest): boolean =>
  idempotent.has(method) || "idempotency-key" in headers

/** Whether the body is still there after it was sent. */
export const isReplayable = ({ body }: HttpClientRequest.HttpClientRequest): boolean =>
  body._tag !== "Stream" && (body._tag !== "Raw" || typeof body.body === "string" || ArrayBuffer.isView(body.body))

/** A request for one attempt. */
export interface Lending {
  readonly request: HttpClientRequest.HttpClientRequest
  /** Keeps this attempt from reading the body any more if it has not begun, and says whether the body is whole. */
  readonly takeBack: () => boolean
}

/** Some clients begin to read the body before there is a connection to send it over, or even after there was none. */
export const lend = (request: HttpClientRequest.HttpClientRequest): Lending => {
  const { body } = request
  if (body._tag !== "Stream") {
    return { request, takeBack: () => isReplayable(request) || (body._tag === "Raw" && isUntouched(body.body)) }
  }
  let is: "lent" | "begun" | "back" = "lent"
  const stream = Stream.suspend(() => {
    if (is === "back") return Stream.empty
    is = "begun"
    return body.stream
  })
  const takeBack = () => {
    if (is === "lent") is = "back"
    return is === "back"
  }
  return { request: withBody(request, HttpBody.stream(stream, body.contentType, body.contentLength)), takeBack }
}

const withBody = (request: HttpClientRequest.HttpClientRequest, body: HttpBody.HttpBody) =>
  HttpClientRequest.makeWith(request.method, request.url, request.urlParams, request.hash, request.headers, body)

/** A stream of Node that nobody has read from; of anything else it cannot be known. */
const isUntouched = (body: unknown): boolean =>
  body instanceof Readable && !body.destroyed && !Readable.isDisturbed(body)

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

/** Some clients follow redirects without a word: then the error names another address than the one that was asked. */
const isAbout = (error: object, { hostname, port, protocol }: URL): boolean => {
  const host = hostname.replace(/^\[|\]$/g, "")
  const dialled = Number(port || (protocol === "https:" ? 443 : 80))
  const isPort = !Predicate.hasProperty(error, "port") || error.port === dialled
  const isAddress = !Predicate.hasProperty(error, "address") || isIP(host) === 0 || error.address === host
  const isName = !Predicate.hasProperty(error, "hostname") || error.hostname === host
  return isPort && isAddress && isName && isAttempted(error, host, dialled)
}

/** Said of a connection that is there: something may have been sent over it. */
const isOpen = (error: object): boolean =>
  Predicate.hasProperty(error, "syscall") && (error.syscall === "read" || error.syscall === "write")

/** Of a connection that nobody accepted in time only the message says where it went: to a name, or to its addresses. */
const isAttempted = (error: object, host: string, port: number): boolean => {
  const message = Predicate.isError(error) ? error.message.replaceAll(/[[\]]/g, "") : ""
  const [, several, addresses] = /attempted address(es)?: (.*), timeout/.exec(message) ?? []
  if (addresses === undefined || (several !== undefined && isIP(host) === 0)) return true
  return addresses.split(", ").includes(`${host}:${port}`)
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
