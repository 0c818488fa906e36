/**
 * A response of a service: as if it came from where the request was sent to, whichever instance gave it.
 *
 * So a redirect is followed to the service, and a cookie is kept for the service. The request stays in flight until the
 * body has been read, has broken off, is given up, or is forgotten; where nobody reads a body it is over at once. It is
 * the response of the instance in every other respect, but for `HttpClientResponse.toWeb`, which gives none.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Headers from "effect/http/Headers"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import { constVoid } from "effect/Function"
import * as Inspectable from "effect/Inspectable"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Stream from "effect/Stream"
import type * as Alarms from "./alarms.ts"
import * as Exchange from "./httpExchange.ts"

type Response = HttpClientResponse.HttpClientResponse
type Release = (isBroken: boolean) => void

/** Releases what nobody will read any more. To be watched costs more than all the rest, so it is for the few that lie about. */
const forgotten = new FinalizationRegistry<Release>((release) => release(false))

/** How long nobody has read a response that is watched, in milliseconds. */
const watchedAfter = 1000

/** The request as the service was asked, and the URL at which an instance was asked instead. */
export interface Sent {
  readonly request: HttpClientRequest.HttpClientRequest
  readonly asked: string
}

/** `headers` are those of the response, which parses them whenever it is asked. */
export const make = (
  response: Response,
  headers: Headers.Headers,
  sent: Sent,
  hold: () => Release,
  arm: Alarms.Arm
): Response => new ServiceResponse(response, headers, sent, isUnread(response, headers) ? undefined : hold(), arm)

/** Whether there is no body, or none that anybody reads: what a redirect says beside where to go. */
const isUnread = ({ request, status }: Response, headers: Headers.Headers): boolean =>
  request.method === "HEAD" || status === 204 || (status >= 300 && status < 400) || headers["content-length"] === "0"

class ServiceResponse extends Inspectable.Class implements HttpClientResponse.HttpClientResponse, Pipeable {
  readonly [HttpIncomingMessage.TypeId]: typeof HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: typeof HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly original: Response
  readonly headers: Headers.Headers
  readonly sent: Sent
  readonly release: Release
  readonly disarm: () => void
  isWatched = false

  constructor(original: Response, headers: Headers.Headers, sent: Sent, release: Release | undefined, arm: Alarms.Arm) {
    super()
    this.original = original
    this.headers = headers
    this.sent = sent
    this.release = release ?? constVoid
    this.disarm = release === undefined ? constVoid : arm(watchedAfter, () => this.watch())
  }

  private watch() {
    this.isWatched = true
    forgotten.register(this, this.release, this)
  }

  get request() {
    return this.sent.request
  }
  /** Where a redirect that the client below followed led elsewhere, that is where it came from. */
  get url() {
    const { url } = this.original
    const instance = URL.parse(this.sent.asked)?.origin ?? ""
    const service = URL.parse(this.sent.request.url)?.origin ?? ""
    return url.startsWith(`${instance}/`) ? `${service}${url.slice(instance.length)}` : url
  }
  get status() {
    return this.original.status
  }
  get cookies() {
    return this.original.cookies
  }
  get remoteAddress() {
    return this.original.remoteAddress
  }
  get formData() {
    return this.reading(this.original.formData)
  }
  get text() {
    return this.reading(this.original.text)
  }
  get json() {
    return this.reading(this.original.json)
  }
  get urlParamsBody() {
    return this.reading(this.original.urlParamsBody)
  }
  get arrayBuffer() {
    return this.reading(this.original.arrayBuffer)
  }
  get upgrade() {
    return this.reading(this.original.upgrade)
  }
  get stream() {
    return Stream.onExit(
      Stream.suspend(() => {
        this.found()
        return this.original.stream
      }),
      (exit) => Effect.sync(() => this.over(exit))
    )
  }

  /** For whoever looks into it: this says which instance it was. */
  toJSON() {
    return this.original.toJSON()
  }
  pipe() {
    return pipeArguments(this, arguments)
  }

  private reading<A>(body: Effect.Effect<A, HttpClientError.HttpClientError>) {
    return Effect.onExitPrimitive(
      Effect.suspend(() => {
        this.found()
        return body
      }),
      (exit) => this.over(exit)
    )
  }

  /** Somebody reads it. */
  private found() {
    this.disarm()
    if (this.isWatched) forgotten.unregister(this)
  }

  private over(exit: Exit.Exit<unknown, HttpClientError.HttpClientError>): undefined {
    this.release(Exit.isFailure(exit) && isBroken(exit.cause))
  }
}

const isBroken = (cause: Cause.Cause<HttpClientError.HttpClientError>): boolean =>
  cause.reasons.some((reason) => Cause.isFailReason(reason) && Exchange.isBroken(reason.error))
