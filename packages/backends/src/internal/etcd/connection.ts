/**
 * One connection to one member of etcd: one channel for every call and stream, one token, etcd3's typed stubs.
 *
 * Nothing here retries and nothing breaks circuits: a call is sent once and its failure is told. etcd3's own choices
 * are switched off: several hosts, circuit breakers, its token cache, and its habit of closing the channel under
 * everyone after one failed call. Pings are left to the streams, because etcd answers frequent ones with GOAWAY.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import {
  type CallOptions,
  Channel,
  type ChannelInterface,
  connectivityState,
  InterceptingCall,
  type Interceptor,
  type Metadata,
  status
} from "@grpc/grpc-js"
import { noop } from "cockatiel"
import { Etcd3 } from "etcd3"
import { fromUnknown, type GrpcError, isAuthOff, isDenied } from "./grpcError.ts"
import * as Lifespan from "./lifespan.ts"
import * as Security from "./security.ts"
import { NotingSockets } from "./sockets.ts"
import { losesEvents } from "./version.ts"

/** Sends something with the stubs; `options` go with every call. */
export type Send<A> = (etcd: Etcd3, options: CallOptions) => Promise<A>

export interface Connection {
  readonly host: string
  /** Whether this server is of a version that is known to lose watch events. */
  readonly losesEvents: boolean
  /** Sends once; interrupting cancels. */
  readonly send: <A>(send: Send<A>) => Effect.Effect<A, GrpcError>
  /** The token is not valid any more: the next `send` gets another. */
  readonly forgetToken: () => void
  /** Ends when the member is left; calls and streams that are under way go on. */
  readonly life: Lifespan.Lifespan
}

const channelOptions = {
  "grpc.use_local_subchannel_pool": 1,
  "grpc.max_receive_message_length": -1,
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_channelz": 0,
  "grpc.enable_retries": 0,
  "grpc.enable_http_proxy": 0
}

/**
 * Connects, logs in and asks the member how it is. One without a leader fails, unless `leaderless` is enough: that one
 * still reads what it has itself.
 */
export const open = Effect.fnUntraced(function* (
  host: string,
  access: Security.Access,
  leaderless = false
): Effect.fn.Return<Connection, GrpcError, Scope.Scope> {
  const { credentials, options } = yield* Security.channel(access)
  const noting = new NotingSockets(credentials)
  const channel = yield* Effect.acquireRelease(
    Effect.sync(() => new Channel(host, noting, { ...channelOptions, ...options })),
    (channel) =>
      Effect.sync(() => {
        channel.close()
        noting.destroySockets()
      })
  )
  const etcd = new Etcd3({
    hosts: [host],
    grpcOptions: { channelOverride: unclosable(channel) },
    faultHandling: { global: noop, host: () => noop }
  })
  const one = Semaphore.makeUnsafe(1)
  let token: string | undefined

  const prepare = (metadata: Metadata) => {
    if (!leaderless) metadata.set("hasleader", "true")
    if (token !== undefined && token !== "") metadata.set("token", token)
  }
  const sendNow = <A>(send: Send<A>) =>
    Effect.tryPromise({
      try: (signal) => send(etcd, { interceptors: [intercept(prepare, signal)] }),
      catch: fromUnknown
    })

  const { login } = access
  const authorized =
    login === undefined
      ? Effect.void
      : Effect.suspend(() =>
          token !== undefined
            ? Effect.void
            : sendNow((etcd, options) =>
                etcd.auth.authenticate({ name: login.user, password: Redacted.value(login.password) }, options)
              ).pipe(
                Effect.map((response) => response.token),
                Effect.catchIf(isAuthOff, () => Effect.succeed("")),
                Effect.map((fresh) => void (token = fresh))
              )
        ).pipe(one.withPermits(1))

  yield* settled(channel)
  yield* authorized
  const { version } = yield* sendNow((etcd, options) => etcd.maintenance.status(options)).pipe(
    // Some versions tell it to nobody but root; that they refuse is an answer too.
    Effect.catchIf(isDenied, () => Effect.succeed({ version: "" }))
  )
  return {
    host,
    losesEvents: losesEvents(version),
    send: (send) => Effect.andThen(authorized, sendNow(send)),
    forgetToken: () => void (token = undefined),
    life: Lifespan.make()
  }
})

/** Connected, or failed for now: then the next call tells why. */
const settled = (channel: Channel) =>
  Effect.callback<void>((resume) => {
    const look = () => {
      // Asking to connect again here would open a channel that was closed meanwhile.
      const state = channel.getConnectivityState(false)
      if (state !== connectivityState.IDLE && state !== connectivityState.CONNECTING) return resume(Effect.void)
      channel.watchConnectivityState(state, Infinity, look)
    }
    channel.getConnectivityState(true)
    look()
  })

const intercept =
  (prepare: (metadata: Metadata) => void, signal: AbortSignal): Interceptor =>
  (options, next) => {
    const giveUp = () => call.cancelWithStatus(status.CANCELLED, "given up")
    const call = new InterceptingCall(next(options), {
      start: (metadata, _listener, start) => {
        prepare(metadata)
        start(metadata, { onReceiveStatus: (status, pass) => pass({ ...status, details: reworded(status.details) }) })
        // Given up before etcd3 began it.
        if (signal.aborted) giveUp()
      }
    })
    signal.addEventListener("abort", giveUp, { once: true })
    return call
  }

/** etcd3 sends a call whose token is invalid again at once and for ever; in other words it does not notice. */
const reworded = (details: string) => details.replace("etcdserver: invalid auth token", "invalid auth token")

/** etcd3 closes what it is given after each failure, and streams of others would lose their channel. */
const unclosable = (channel: Channel): ChannelInterface => ({
  close: () => undefined,
  getTarget: () => channel.getTarget(),
  getConnectivityState: (tryToConnect) => channel.getConnectivityState(tryToConnect),
  watchConnectivityState: (state, deadline, callback) => channel.watchConnectivityState(state, deadline, callback),
  getChannelzRef: () => channel.getChannelzRef(),
  createCall: (method, deadline, host, parent, flags) => channel.createCall(method, deadline, host, parent, flags)
})
