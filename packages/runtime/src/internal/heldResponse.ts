/**
 * A response whose request stays in flight until the body has been read, has broken off, is given up, or is forgotten.
 *
 * It is the response that it wraps in every other respect, but for `HttpClientResponse.toWeb`, which gives none. A
 * response without a body is over at once and not wrapped.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Headers from "effect/http/Headers"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
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

/** `headers` are those of the response, which parses them whenever it is asked. */
export const make = (response: Response, headers: Headers.Headers, hold: () => Release, arm: Alarms.Arm): Response =>
  isEmpty(response, headers) ? response : new HeldResponse(response, headers, hold(), arm)

const isEmpty = ({ request, status }: Response, headers: Headers.Headers): boolean =>
  request.method === "HEAD" || status === 204 || status === 304 || headers["content-length"] === "0"

class HeldResponse extends Inspectable.Class implements HttpClientResponse.HttpClientResponse, Pipeable {
  readonly [HttpIncomingMessage.TypeId]: typeof HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: typeof HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly original: Response
  readonly headers: Headers.Headers
  readonly release: Release
  readonly disarm: () => void

  constructor(original: Response, headers: Headers.Headers, release: Release, arm: Alarms.Arm) {
    super()
    this.original = original
    this.headers = headers
    this.release = release
    this.disarm = arm(watchedAfter, () => forgotten.register(this, release, this))
  }

  get request() {
    return this.original.request
  }
  get url() {
    return this.original.url
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
      (exit) => this.over(exit)
    )
  }

  toJSON() {
    return this.original.toJSON()
  }
  pipe() {
    return pipeArguments(this, arguments)
  }

  private reading<A>(body: Effect.Effect<A, HttpClientError.HttpClientError>) {
    return Effect.onExit(
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
    forgotten.unregister(this)
  }

  private over(exit: Exit.Exit<unknown, HttpClientError.HttpClientError>) {
    return Effect.sync(() => this.release(Exit.isFailure(exit) && isBroken(exit.cause)))
  }
}

const isBroken = (cause: Cause.Cause<HttpClientError.HttpClientError>): boolean =>
  cause.reasons.some((reason) => Cause.isFailReason(reason) && Exchange.isBroken(reason.error))
