/**
 * The requests that are made to a Consul agent, each sent once and answered within its deadline.
 *
 * An answer is judged here and nowhere else: what Consul means by a status or by a text becomes a reason that says what
 * to do, and an answer that was filtered by ACLs is a refusal, however successful it looks.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { Endpoint, ServiceName } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import {
  Exhausted,
  PermissionDenied,
  RegistryError,
  type RegistryErrorReason,
  Unauthenticated,
  Unavailable,
  Unreadable
} from "@muster/core/RegistryError"
import * as Http from "../http.ts"
import * as Wire from "./wire.ts"

/** Where the agent is and what goes with every request. */
export interface Access {
  /** The target, for errors. */
  readonly registry: string
  readonly url: string
  readonly token: Redacted.Redacted | undefined
  readonly namespace: string | undefined
  readonly partition: string | undefined
}

/** All passing instances of a service, what they were read from, and the index to wait behind: 0 where none was told. */
export interface Listing extends NonNullable<ReturnType<typeof Wire.listing>> {
  readonly text: string
  readonly index: bigint
}

/** Where a service is looked up and since when; by default in the datacenter of the agent, now. */
export interface Question {
  readonly datacenter?: string | undefined
  /** The index to wait behind, until something changes or a heartbeat is over. */
  readonly behind?: bigint
  /** An answer that says the same is not read again. */
  readonly known?: Listing | undefined
}

/** What may be asked of the agent. */
export type Agent = Effect.Success<ReturnType<typeof make>>

/** Reads the policies once and gives the requests. */
export const make = Effect.fnUntraced(function* (access: Access) {
  const http = yield* Http.Http
  const heartbeat = yield* Policy.Heartbeat
  const forgetAfter = yield* Policy.ForgetAfter
  const silence = Duration.times(heartbeat, 2)

  const headers = access.token === undefined ? {} : { "x-consul-token": Redacted.value(access.token) }
  const tenancy = { ns: access.namespace, partition: access.partition }

  const request = (
    method: "GET" | "PUT",
    path: string,
    parameters: Readonly<Record<string, string | undefined>> = {},
    body?: unknown
  ): Http.Request => ({
    method,
    origin: access.url,
    path: path + Http.query({ ...tenancy, ...parameters }),
    headers,
    body: body === undefined ? undefined : { type: "application/json", text: JSON.stringify(body) }
  })
  const here = Http.query(tenancy)

  const failure = (key: string, reason: RegistryErrorReason) =>
    new RegistryError({ registry: access.registry, key, reason })

  /** One short request. Statuses beside success that the caller reads are `expected`. */
  const call = (key: string, needs: string, message: Http.Request, expected: (answer: Http.Answer) => boolean) =>
    Effect.matchEffect(http.call(message), {
      onSuccess: (answer) =>
        answer.status === 200 || expected(answer)
          ? Effect.succeed(answer)
          : Effect.fail(failure(key, refusal(answer, needs))),
      onFailure: (reason) => Effect.fail(failure(key, reason))
    })

  /** The agent may have one of its own for who gives none, which no answer tells. */
  const orOurs = access.token === undefined ? "; or give Muster the token itself" : ""

  const isFiltered = (answer: Http.Answer, count: number) =>
    answer.headers["x-consul-results-filtered-by-acls"] === "true" ||
    (access.token === undefined && count === 0 && answer.headers["x-consul-default-acl-policy"] === "deny")

  const list = Effect.fnUntraced(function* (service: ServiceName, { behind = 0n, datacenter, known }: Question) {
    const message = request("GET", `/v1/health/service/${service}`, {
      passing: "1",
      stale: "",
      dc: datacenter,
      ...(behind === 0n ? {} : { index: String(behind), wait: `${Duration.toMillis(heartbeat)}ms` })
    })
    const answer = yield* http.wait(message, silence)
    if (answer.status !== 200) return yield* refusal(answer, readRule(service))
    const age = Number(answer.headers["x-consul-lastcontact"] ?? 0)
    if (age > Duration.toMillis(silence)) {
      return yield* new Unavailable({
        message: `the Consul server that answered has not heard of its leader for ${age} ms; is there one?`
      })
    }
    const found = known?.text === answer.text ? known : Wire.listing(service, answer.text)
    if (found === undefined) return yield* new Unreadable({ message: `no list of services: ${excerpt(answer.text)}` })
    const count = found.endpoints.length + found.skipped.length
    if (isFiltered(answer, count)) {
      return yield* new PermissionDenied({
        message: `ACLs filter the answer, so what is missing may well be there; the token needs ${readRule(service)}${orOurs}`
      })
    }
    return { ...found, text: answer.text, index: indexOf(answer) }
  })

  return {
    /** Registers the endpoint under this lease; `replace` ends every other lease of the instance. */
    register: (endpoint: Endpoint, lease: string, ttl: Duration.Duration, replace: boolean) =>
      Effect.asVoid(
        call(
          keyOf(endpoint),
          write(endpoint),
          request(
            "PUT",
            "/v1/agent/service/register",
            replace ? { "replace-existing-checks": "true" } : {},
            Wire.registration(endpoint, lease, ttl, forgetAfter)
          ),
          () => false
        )
      ),
    /** Passes the check of a lease; `false` when the agent does not know it. */
    pass: (endpoint: Endpoint, lease: string) =>
      Effect.map(
        call(
          keyOf(endpoint),
          write(endpoint),
          { method: "PUT", origin: access.url, path: `/v1/agent/check/pass/${lease}${here}`, headers },
          isUnknown
        ),
        (answer) => answer.status === 200
      ),
    /** What the agent itself knows of an instance. */
    find: (endpoint: Endpoint) =>
      call(
        keyOf(endpoint),
        write(endpoint),
        request("GET", `/v1/agent/health/service/id/${Wire.serviceId(endpoint)}`),
        (answer) => answer.status === 404 || Wire.known(endpoint, answer.text) !== undefined
      ).pipe(Effect.map((answer) => (answer.status === 404 ? undefined : Wire.known(endpoint, answer.text)))),
    /** Removes an instance and its leases; one that is gone is success. */
    deregister: (endpoint: Endpoint) =>
      Effect.asVoid(
        call(
          keyOf(endpoint),
          write(endpoint),
          request("PUT", `/v1/agent/service/deregister/${Wire.serviceId(endpoint)}`),
          isUnknown
        )
      ),
    /** All passing instances of a service. */
    list: (service: ServiceName, question: Question): Effect.Effect<Listing, RegistryError> =>
      Effect.mapError(list(service, question), (reason) => failure(service, reason)),
    failure: (endpoint: Endpoint, reason: RegistryErrorReason) => failure(keyOf(endpoint), reason)
  }
})

const keyOf = ({ id, service }: Endpoint) => `${service}/${id}`

const write = ({ service }: Endpoint) => `service "${service}" { policy = "write" }`

/** Older agents answer 500 where newer ones answer 404. */
const isUnknown = ({ status, text }: Http.Answer) =>
  status === 404 || (status === 500 && /unknown (check|service)|does not have associated TTL/i.test(text))

const indexOf = ({ headers }: Http.Answer): bigint => {
  const header = headers["x-consul-index"]
  return typeof header === "string" && /^\d+$/.test(header) ? BigInt(header) : 0n
}

const readRule = (service: ServiceName) =>
  `service "${service}" { policy = "read" } and node_prefix "" { policy = "read" }`

const refusal = ({ status, text }: Http.Answer, needs: string) => {
  const said = `Consul answered ${status}: ${excerpt(text)}`
  if (status === 401 || /ACL not found|ACL token .*(expired|not found)/i.test(text)) {
    return new Unauthenticated({ message: `${said}; the token is not valid (any more), give another` })
  }
  if (status === 403) return new PermissionDenied({ message: `${said}; the token needs ${needs}` })
  if (status === 429) {
    return new Exhausted({ message: `${said}; raise http_max_conns_per_client or the rate limit of the agent` })
  }
  return status >= 500 ? new Unavailable({ message: said }) : new Unreadable({ message: said })
}

const excerpt = (text: string) => (text.trim() === "" ? "(nothing)" : text.trim().slice(0, 200))
