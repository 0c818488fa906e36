/**
 * Which service a URL means, and the request as one of its instances is asked.
 */
import type * as Duration from "effect/Duration"
import * as Headers from "effect/http/Headers"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import { type Endpoint, isServiceName, type ServiceName } from "@muster/core/Endpoint"
import * as Deadline from "../Deadline.ts"

type Request = HttpClientRequest.HttpClientRequest

/** A URL that may mean a service: what follows the host is kept as it is. */
export interface Target {
  readonly scheme: string
  readonly service: ServiceName
  readonly rest: string
}

/** Scheme and host of a URL without port and user. */
const withoutPort = /^(https?):\/\/([^/?#@:[\]]+)(?=[/?#]|$)/i

export const targetOf = (url: string): Target | undefined => {
  const match = withoutPort.exec(url)
  if (match === null) return undefined
  const service = match[2].toLowerCase()
  return isServiceName(service) ? { scheme: match[1], service, rest: url.slice(match[0].length) } : undefined
}

/** The same request to an instance, which hears the name of the service as its `Host`, and how much time it has. */
export const addressed = (
  request: Request,
  { rest, scheme, service }: Target,
  { address }: Endpoint,
  time: Duration.Duration
): Request =>
  HttpClientRequest.makeWith(
    request.method,
    `${scheme}://${address}${rest}`,
    request.urlParams,
    request.hash,
    Headers.merge(added(service, time), request.headers),
    request.body
  )

/** Most attempts add the same headers as the last one. */
const added = (service: ServiceName, time: Duration.Duration): Headers.Headers => {
  if (service !== last?.service || time !== last.time) {
    const headers = Headers.fromInput({ host: service, [Deadline.header]: Deadline.toHeader(time) })
    last = { service, time, headers }
  }
  return last.headers
}

let last:
  | { readonly service: ServiceName; readonly time: Duration.Duration; readonly headers: Headers.Headers }
  | undefined
