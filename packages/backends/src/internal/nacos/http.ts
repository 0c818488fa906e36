/**
 * A session over the HTTP client API of Nacos: version 3 where the server has it, else version 1.
 *
 * There is no connection: each instance is kept alive by beats of its own, and a service is read again and again by
 * `Policy.PollRemote`. The session is over when a request is not answered, or the API is not there any more.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ServiceName } from "@muster/core/Endpoint"
import { type RegistryErrorReason, Unavailable, Unreadable } from "@muster/core/RegistryError"
import * as Http from "../http.ts"
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
  /** The code in an answer; 0 is success. */
  readonly code: (said: unknown) => number
  readonly info: (said: unknown) => Option.Option<Wire.ServiceInfo>
}

/** `undefined` is what no JSON says. */
const parse = (text: string): unknown => Option.getOrUndefined(decodeJson(text))
const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))
const decodeEnvelope = Schema.decodeUnknownOption(Schema.Struct({ code: Schema.Finite }))
const decodeHosts = Schema.decodeUnknownOption(Schema.Struct({ data: Schema.Array(Schema.Unknown) }))
const decodeInfo = Schema.decodeUnknownOption(Wire.ServiceInfo)

/** The codes with which versions 3 and 1 say that they do not know the instance of a beat. */
const unknown = new Set([21_003, 20_404])

const v3: Version = {
  name: "v3",
  path: "/nacos/v3/client/ns/instance",
  beat: ["POST", "/nacos/v3/client/ns/instance", { heartBeat: true }],
  service: ({ group, namespace }, service) => ({ namespaceId: namespace, groupName: group, serviceName: service }),
  code: (said) => Option.match(decodeEnvelope(said), { onNone: () => -1, onSome: ({ code }) => code }),
  info: (said) => Option.map(decodeHosts(said), ({ data }) => ({ hosts: data }))
}

const v1: Version = {
  name: "v1",
  path: "/nacos/v1/ns/instance",
  beat: ["PUT", "/nacos/v1/ns/instance/beat", {}],
  service: ({ group, namespace }, service) => ({ namespaceId: namespace, serviceName: `${group}@@${service}` }),
  // Only a beat answers with a code, of which 10200 is success.
  code: (said) =>
    Option.match(decodeEnvelope(said), { onNone: () => 0, onSome: ({ code }) => (code === 10_200 ? 0 : code) }),
  info: decodeInfo
}

/** What a session needs. */
export interface Options {
  readonly http: Http.Http["Service"]
  readonly url: string
  readonly place: Wire.Place
  readonly tokens: Tokens
  readonly poll: Schedule.Schedule<unknown>
}

/** How servers answer on a path that they do not have. */
const isNoApi = (status: number) => status === 404 || status === 410 || status === 501

/** Opens a session with a server that has either version; what answers and has neither is no server of Nacos. */
export const open = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Session.Session, RegistryErrorReason> {
  const { http, url } = options
  for (const version of [v3, v1]) {
    const path = `${version.path}/list?serviceName=muster`
    const { status } = yield* http.call({ method: "GET", origin: url, path, headers: {} })
    if (isNoApi(status)) continue
    // A proxy may say so in front of any version, and so may a server that starts.
    if (status === 429 || status >= 500) return yield* new Unavailable({ message: `${url} answered ${status}` })
    return yield* make(version, options)
  }
  return yield* new Unreadable({
    message: `${url} answers, but has no client API of Nacos; is its port the right one?`
  })
})

const headers = { "user-agent": "Nacos-Muster" }

/** What was understood of an answer. */
interface Reply {
  readonly text: string
  readonly code: number
  readonly said: unknown
}

const read = (version: Version, text: string): Reply => {
  const said = parse(text)
  return { text, code: version.code(said), said }
}

const refused = (status: number, text: string): Reply => ({ text, code: status, said: undefined })

/** Services whose listing is remembered at once. */
const remembered = 1000

const make = Effect.fnUntraced(function* (
  version: Version,
  { http, place, poll, tokens, url }: Options
): Effect.fn.Return<Session.Session> {
  const over = yield* Deferred.make<RegistryErrorReason>()

  const endWith = (reason: RegistryErrorReason) => Effect.andThen(Deferred.succeed(over, reason), Effect.fail(reason))

  /** One request; a token that is refused is replaced once. An answer that says what is `known` is not read again. */
  const call = (
    method: Http.Request["method"],
    path: string,
    known?: Reply,
    again = true
  ): Effect.Effect<Reply, RegistryErrorReason> =>
    Effect.flatMap(tokens.get(url), (token) =>
      Effect.matchEffect(http.call({ method, origin: url, path: withToken(path, token), headers }), {
        onFailure: endWith,
        onSuccess: ({ status, text }) => {
          if (isNoApi(status)) {
            const message = `${url} has no API ${version.name} any more: it answered ${status}`
            return endWith(new Unavailable({ message }))
          }
          const reply = status !== 200 ? refused(status, text) : text === known?.text ? known : read(version, text)
          const { code } = reply
          if (status === 200 && (code === 0 || unknown.has(code))) return Effect.succeed(reply)
          const refuse = () =>
            Effect.fail(Session.refusal(code, text, method === "GET" ? "r" : "w", place.group, place.namespace))
          if ((code !== 401 && code !== 403) || !again) return refuse()
          return Effect.flatMap(tokens.forget(token), (isWorthwhile) =>
            isWorthwhile ? call(method, path, known, false) : refuse()
          )
        }
      })
    )

  const pathOf = (path: string, service: ServiceName, instance: Wire.Instance, more: Parameters = {}) => {
    const { clusterName, ephemeral, ip, port } = instance
    return path + Http.query({ ...version.service(place, service), ip, port, clusterName, ephemeral, ...more })
  }

  const told = (service: ServiceName, known?: Reply) =>
    call("GET", `${version.path}/list${Http.query(version.service(place, service))}`, known)
  const infoOf = ({ said, text }: Reply) =>
    Option.match(version.info(said), {
      onNone: () => Effect.fail(new Unreadable({ message: `no list of instances: ${text.slice(0, 200)}` })),
      onSome: Effect.succeed
    })

  /** What was listed last, by service: mostly what is listed next. */
  const listed = new Map<ServiceName, readonly [Reply, Wire.ServiceInfo]>()
  const list = Effect.fnUntraced(function* (
    service: ServiceName
  ): Effect.fn.Return<Wire.ServiceInfo, RegistryErrorReason> {
    const [known, before] = listed.get(service) ?? []
    const reply = yield* told(service, known)
    if (reply === known && before !== undefined) return before
    const info = yield* infoOf(reply)
    if (listed.size >= remembered) listed.clear()
    listed.set(service, [reply, info])
    return info
  })

  const [method, beatPath, beatParameters] = version.beat
  /** A thousand beats are answered with the same few words. */
  let lastBeat: Reply | undefined
  const beatPaths = new WeakMap<Wire.Instance, string>()
  const beatPathOf = (service: ServiceName, instance: Wire.Instance) => {
    const known = beatPaths.get(instance)
    if (known !== undefined) return known
    const path = pathOf(beatPath, service, instance, beatParameters)
    beatPaths.set(instance, path)
    return path
  }

  return {
    name: `HTTP ${version.name} ${url}`,
    put: (service, instance) =>
      Effect.asVoid(
        call(
          "POST",
          pathOf(version.path, service, instance, {
            weight: instance.weight,
            healthy: true,
            enabled: true,
            metadata: JSON.stringify(instance.metadata)
          })
        )
      ),
    drop: (service, instance) => Effect.asVoid(call("DELETE", pathOf(version.path, service, instance))),
    beat: (service, instance) =>
      instance.ephemeral
        ? Effect.map(call(method, beatPathOf(service, instance), lastBeat), (reply) => {
            lastBeat = reply
            return !unknown.has(reply.code)
          })
        : Effect.undefined,
    list,
    watch: (service) => Stream.fromEffectSchedule(Effect.flatMap(told(service), infoOf), poll),
    closed: Deferred.await(over)
  }
})

const withToken = (path: string, token: string) =>
  token === "" ? path : `${path}&accessToken=${encodeURIComponent(token)}`
