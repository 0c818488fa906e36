/**
 * A session over the HTTP client API of Nacos: version 3 where the server has it, else version 1.
 *
 * There is no connection: each instance is kept alive by beats of its own, and a service is read again and again by
 * `Policy.PollRemote`. The session is over when a request is not answered.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ServiceName } from "@muster/core/Endpoint"
import { type RegistryErrorReason, Unreadable } from "@muster/core/RegistryError"
import type * as Http from "../http.ts"
import type { Tokens } from "./login.ts"
import * as Session from "./session.ts"
import * as Wire from "./wire.ts"

type Parameters = Readonly<Record<string, string | number | boolean | undefined>>

/** One version of the API: paths, parameters, and what its answers look like. */
interface Version {
  readonly name: string
  readonly path: string
  readonly beat: readonly ["POST" | "PUT", string, Parameters]
  readonly service: (place: Wire.Place, service: ServiceName) => Parameters
  /** The code in the body of an answer; 0 is success. */
  readonly code: (text: string) => number
  readonly info: (text: string) => Option.Option<Wire.ServiceInfo>
}

const Envelope = Schema.fromJsonString(Schema.Struct({ code: Schema.Finite }))
const decodeEnvelope = Schema.decodeUnknownOption(Envelope)
const decodeHosts = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ data: Schema.Array(Schema.Unknown) }))
)
const decodeInfo = Schema.decodeUnknownOption(Schema.fromJsonString(Wire.ServiceInfo))

/** The codes with which versions 3 and 1 say that they do not know the instance of a beat. */
const unknown = new Set([21_003, 20_404])

const v3: Version = {
  name: "v3",
  path: "/nacos/v3/client/ns/instance",
  beat: ["POST", "/nacos/v3/client/ns/instance", { heartBeat: true }],
  service: ({ group, namespace }, service) => ({ namespaceId: namespace, groupName: group, serviceName: service }),
  code: (text) => Option.match(decodeEnvelope(text), { onNone: () => -1, onSome: ({ code }) => code }),
  info: (text) => Option.map(decodeHosts(text), ({ data }) => ({ hosts: data }))
}

const v1: Version = {
  name: "v1",
  path: "/nacos/v1/ns/instance",
  beat: ["PUT", "/nacos/v1/ns/instance/beat", {}],
  service: ({ group, namespace }, service) => ({ namespaceId: namespace, serviceName: `${group}@@${service}` }),
  // Only a beat answers with a code, of which 10200 is success.
  code: (text) =>
    Option.match(decodeEnvelope(text), { onNone: () => 0, onSome: ({ code }) => (code === 10_200 ? 0 : code) }),
  info: decodeInfo
}

/** What a session needs. */
export interface Options {
  readonly http: Effect.Success<typeof Http.make>
  readonly url: string
  readonly place: Wire.Place
  readonly tokens: Tokens
  readonly poll: Schedule.Schedule<unknown>
}

/** Opens a session with a server that has either version; `undefined` where there is none, but something answers. */
export const open = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Session.Session, RegistryErrorReason> {
  const { http, url } = options
  for (const version of [v3, v1]) {
    const probe = HttpClientRequest.get(`${url}${version.path}/list`, { urlParams: { serviceName: "muster" } })
    const { status } = yield* http.call(probe)
    if (status !== 404 && status !== 410 && status !== 501) return yield* make(version, options)
  }
  return yield* new Unreadable({
    message: `${url} answers, but has no client API of Nacos; is its port the right one?`
  })
})

const make = Effect.fnUntraced(function* (
  version: Version,
  { http, place, poll, tokens, url }: Options
): Effect.fn.Return<Session.Session> {
  const over = yield* Deferred.make<RegistryErrorReason>()

  /** One request; a token that is refused is replaced once. */
  const call = (
    method: "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    parameters: Parameters,
    again = true
  ): Effect.Effect<Http.Answer, RegistryErrorReason> =>
    Effect.gen(function* () {
      const token = yield* tokens.get(url)
      const request = HttpClientRequest.make(method)(`${url}${path}`, {
        urlParams: { ...parameters, accessToken: token === "" ? undefined : token },
        headers: { "user-agent": "Nacos-Muster" }
      })
      const answer = yield* Effect.tapError(http.call(request), (reason) => Deferred.succeed(over, reason))
      const code = answer.status === 200 ? version.code(answer.text) : answer.status
      if (answer.status === 200 && (code === 0 || unknown.has(code))) return answer
      if ((code === 401 || code === 403) && again && (yield* tokens.forget(token))) {
        return yield* call(method, path, parameters, false)
      }
      const needs = method === "GET" ? "r" : "w"
      return yield* Session.refusal(code, answer.text, needs, place.group, place.namespace)
    })

  const which = (service: ServiceName, { clusterName, ephemeral, ip, port }: Wire.Instance) => ({
    ...version.service(place, service),
    ip,
    port,
    clusterName,
    ephemeral
  })

  const list = (service: ServiceName) =>
    call("GET", `${version.path}/list`, version.service(place, service)).pipe(
      Effect.flatMap(({ text }) =>
        Option.match(version.info(text), {
          onNone: () => Effect.fail(new Unreadable({ message: `no list of instances: ${text.slice(0, 200)}` })),
          onSome: Effect.succeed
        })
      )
    )

  const [method, beatPath, beatParameters] = version.beat
  const beat = (service: ServiceName, instance: Wire.Instance) =>
    instance.ephemeral
      ? Effect.map(
          call(method, beatPath, { ...which(service, instance), ...beatParameters }),
          ({ text }) => !unknown.has(version.code(text))
        )
      : Effect.undefined

  return {
    name: `HTTP ${version.name} ${url}`,
    put: (service, instance) =>
      Effect.asVoid(
        call("POST", version.path, {
          ...which(service, instance),
          weight: instance.weight,
          healthy: true,
          enabled: true,
          metadata: JSON.stringify(instance.metadata)
        })
      ),
    drop: (service, instance) => Effect.asVoid(call("DELETE", version.path, which(service, instance))),
    beat,
    list,
    watch: (service) => Stream.fromEffectSchedule(list(service), poll),
    closed: Deferred.await(over)
  }
})
