/**
 * One gRPC connection to a Nacos server: made known to it, asked over it, listened to, and kept alive.
 *
 * Everything that the server asks is answered (pushes, its own pings, the wish that we move). We ping it as well: two
 * pings in a row without an answer are the end, as is the end of its stream, and that it does not know us any more.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { type RegistryErrorReason, TimedOut, Unavailable, Unreadable, Untrusted } from "@muster/core/RegistryError"
import { type ChannelCredentials, type ChannelOptions, Client, type ServiceError, status } from "@grpc/grpc-js"
import { plain } from "../grpcDetails.ts"
import type { Tokens } from "./login.ts"
import * as Payload from "./payload.ts"
import { refusal } from "./session.ts"
import * as Wire from "./wire.ts"

/** What a connection needs. */
export interface Options {
  /** `host:port` of gRPC. */
  readonly address: string
  /** Where to log in. */
  readonly url: string
  readonly channel: { readonly credentials: ChannelCredentials; readonly options: ChannelOptions }
  readonly place: Wire.Place
  readonly tokens: Tokens
  readonly deadline: Duration.Duration
  readonly heartbeat: Duration.Duration
}

/** What it gives. */
export interface Link {
  /** One request; a token that is refused is replaced once. `needs` is the right it takes, for errors. */
  readonly ask: (type: string, body: object, needs: "r" | "w") => Effect.Effect<Answer, RegistryErrorReason>
  /** Completes with the reason for which it is over. */
  readonly closed: Effect.Effect<RegistryErrorReason>
}

const Answer = Schema.Struct({
  resultCode: Schema.optionalKey(Schema.Finite),
  errorCode: Schema.optionalKey(Schema.Finite),
  message: Schema.optionalKey(Schema.NullOr(Schema.String)),
  supportAbilityNegotiation: Schema.optionalKey(Schema.Boolean),
  serviceInfo: Schema.optionalKey(Schema.NullOr(Wire.ServiceInfo))
})
/** What the server answers. */
type Answer = typeof Answer.Type

const decodeAnswer = Schema.decodeUnknownOption(Schema.fromJsonString(Answer))

/** What the server asks over its stream. */
const Asked = Schema.Struct({
  requestId: Schema.optionalKey(Schema.NullOr(Schema.String)),
  serviceInfo: Schema.optionalKey(Schema.NullOr(Wire.ServiceInfo))
})
const decodeAsked = Schema.decodeUnknownOption(Schema.fromJsonString(Asked))

const unregistered = 301

const channelOptions = {
  "grpc.use_local_subchannel_pool": 1,
  "grpc.max_receive_message_length": -1,
  "grpc.enable_retries": 0,
  "grpc.enable_http_proxy": 0
}

/** Connects to a server and calls `onPush` with each listing that it pushes; the connection ends with the scope. */
export const open = Effect.fnUntraced(function* (
  options: Options,
  onPush: (info: Wire.ServiceInfo) => void
): Effect.fn.Return<Link, RegistryErrorReason, Scope.Scope> {
  const { address, channel, deadline, heartbeat, place, tokens, url } = options
  const over = yield* Deferred.make<RegistryErrorReason>()
  const ready = yield* Deferred.make<void>()
  let isClosed = false
  const client = yield* Effect.acquireRelease(
    Effect.sync(() => new Client(address, channel.credentials, { ...channelOptions, ...channel.options })),
    (client) =>
      Effect.sync(() => {
        isClosed = true
        client.close()
      })
  )
  const end = (reason: RegistryErrorReason) => Deferred.doneUnsafe(over, Effect.succeed(reason))

  const exchange = (payload: Payload.Payload) =>
    Effect.callback<Payload.Payload, Pick<ServiceError, "code" | "details">>((resume) => {
      // A channel that was closed throws.
      if (isClosed) return resume(Effect.fail({ code: status.UNAVAILABLE, details: "the session is closed" }))
      const call = client.makeUnaryRequest(
        "/Request/request",
        Payload.encode,
        Payload.decode,
        payload,
        (error, answer) => {
          if (error !== null) resume(Effect.fail(error))
          else if (answer !== undefined) resume(Effect.succeed(answer))
        }
      )
      return Effect.sync(() => call.cancel())
    }).pipe(
      Effect.mapError((error) => reasonOf(address, error)),
      Effect.timeoutOrElse({
        duration: deadline,
        orElse: () =>
          Effect.fail(new TimedOut({ message: `${address}: no answer within ${Duration.format(deadline)}` }))
      })
    )

  const ask = (
    type: string,
    body: object,
    needs: "r" | "w",
    again = true
  ): Effect.Effect<Answer, RegistryErrorReason> =>
    Effect.gen(function* () {
      const token = yield* tokens.get(url)
      const headers: Record<string, string> = token === "" ? {} : { accessToken: token }
      const { body: text } = yield* exchange({ type, headers, body: JSON.stringify(body) })
      const answer = decodeAnswer(text)
      if (Option.isNone(answer))
        return yield* new Unreadable({ message: `${address}: no answer: ${text.slice(0, 200)}` })
      const { errorCode = 0, message, resultCode = 200 } = answer.value
      if (resultCode === 200) return answer.value
      const code = errorCode === 0 ? resultCode : errorCode
      if (code === 403 && again && (yield* tokens.forget(token))) return yield* ask(type, body, needs, false)
      const reason = refusal(code, message ?? "", needs, place.group, place.namespace)
      if (code === unregistered && type !== "HealthCheckRequest") end(reason)
      return yield* reason
    })

  /** Follows what the server says, and answers it. */
  const listen = Effect.acquireRelease(
    Effect.sync(() => {
      const stream = client.makeBidiStreamRequest("/BiRequestStream/requestBiStream", Payload.encode, Payload.decode)
      const say = (type: string, body: object) => stream.write({ type, headers: {}, body: JSON.stringify(body) })
      stream.on("data", ({ body, type }: Payload.Payload) => {
        if (type === "SetupAckRequest") return void Deferred.doneUnsafe(ready, Effect.void)
        const asked = Option.getOrElse(decodeAsked(body), (): typeof Asked.Type => ({}))
        say(type.replace(/Request$/, "Response"), { resultCode: 200, requestId: asked.requestId })
        if (type === "ConnectResetRequest")
          end(new Unavailable({ message: `${address} asks us to move to another server` }))
        if (asked.serviceInfo) onPush(asked.serviceInfo)
      })
      stream.on("error", (error: ServiceError) => end(reasonOf(address, error)))
      stream.on("end", () => end(new Unavailable({ message: `${address} ended the connection` })))
      say("ConnectionSetupRequest", {
        clientVersion: "Muster-Client:v0.1.0",
        tenant: place.namespace,
        labels: { source: "sdk", module: "naming" },
        abilityTable: {}
      })
      return stream
    }),
    (stream) => Effect.sync(() => stream.cancel())
  )

  /** Until the server has our connection among its own; older ones do not say so, and refuse requests before. */
  const settle = (negotiates: boolean) => {
    const acknowledged = negotiates ? Deferred.await(ready) : Effect.void
    const ping = Effect.retry(ask("HealthCheckRequest", {}, "r"), {
      schedule: Schedule.spaced("20 millis"),
      while: (reason) => reason.message.includes(String(unregistered))
    })
    return Effect.andThen(acknowledged, ping).pipe(
      Effect.timeoutOrElse({
        duration: deadline,
        orElse: () => Effect.fail(new TimedOut({ message: `${address}: the connection was not accepted in time` }))
      })
    )
  }

  const { supportAbilityNegotiation = false } = yield* ask("ServerCheckRequest", {}, "r")
  yield* listen
  yield* Effect.raceFirst(settle(supportAbilityNegotiation), Effect.flatMap(Deferred.await(over), Effect.fail))

  /** Any answer is a sign of life, but for the one that our connection is not known. */
  const pings = Effect.flatMap(exchange({ type: "HealthCheckRequest", headers: {}, body: "{}" }), ({ body }) =>
    Option.exists(decodeAnswer(body), ({ errorCode }) => errorCode === unregistered)
      ? Effect.fail(new Unavailable({ message: `${address}: the server does not know our connection` }))
      : Effect.void
  ).pipe(
    Effect.retry(Schedule.recurs(1)),
    Effect.tapError((reason) => Effect.sync(() => end(reason))),
    Effect.delay(heartbeat),
    Effect.forever,
    Effect.ignore
  )
  yield* Effect.forkScoped(pings)

  return { ask: (type, body, needs) => ask(type, body, needs), closed: Deferred.await(over) }
})

const reasonOf = (address: string, { code, details }: Pick<ServiceError, "code" | "details">): RegistryErrorReason => {
  const what = plain(details)
  const message = what.includes(address) ? what : `${address}: ${what}`
  if (code === status.DEADLINE_EXCEEDED) return new TimedOut({ message })
  if (code === status.UNIMPLEMENTED) return new Unreadable({ message: `${message}; is this the gRPC port of Nacos?` })
  return /certificate|altname/i.test(details) ? new Untrusted({ message }) : new Unavailable({ message })
}
