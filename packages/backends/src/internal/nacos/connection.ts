/**
 * The one session with a Nacos cluster: opened when it is needed, shared by all, and opened again when it is over.
 *
 * gRPC is tried on every server before HTTP is. Servers are tried one after the other, beginning with any of them and
 * keeping away from the one whose session just ended. Whoever waits for the session has a deadline; the opening goes on
 * without him. A session that is over is left once the next one has registered what is wanted, so that our instances
 * are not gone in between.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ServiceName } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import { RegistryError, type RegistryErrorReason, TimedOut, Unavailable, Untrusted } from "@muster/core/RegistryError"
import * as Target from "@muster/core/Target"
import type { Tls } from "../access.ts"
import * as Credentials from "../grpcCredentials.ts"
import type * as Http from "../http.ts"
import * as GrpcSession from "./grpc.ts"
import * as HttpSession from "./http.ts"
import type { Tokens } from "./login.ts"
import type { Session, Wanted } from "./session.ts"
import type * as Wire from "./wire.ts"

/** Which cluster, and how it is spoken to. */
export interface Options {
  /** The target, for errors. */
  readonly registry: string
  readonly hosts: ReadonlyArray<Target.Address>
  readonly protocols: ReadonlyArray<"grpc" | "http">
  readonly place: Wire.Place
  readonly tls: Tls | undefined
  readonly http: Http.Http["Service"]
  readonly tokens: Tokens
}

/** What goes over whichever session there is. */
export type Connection = Effect.Success<ReturnType<typeof make>>

/** Nacos listens to gRPC this far above its HTTP port. */
const grpcOffset = 1000

/** The connection ends with the scope. */
export const make = Effect.fnUntraced(function* ({ hosts, http, place, protocols, registry, tls, tokens }: Options) {
  const scope = yield* Effect.scope
  const deadline = yield* Policy.CallDeadline
  const heartbeat = yield* Policy.Heartbeat
  const poll = Schedule.jittered(Schedule.spaced(yield* Policy.PollRemote))
  const wanted: Wanted = new Map()
  let current: Session | undefined
  let opening: Fiber.Fiber<Session, RegistryErrorReason> | undefined
  let left: Target.Address | undefined

  const failure = (key: string, reason: RegistryErrorReason) => new RegistryError({ registry, key, reason })

  const openWith = (protocol: "grpc" | "http", { host, port }: Target.Address) => {
    const url = `${tls === undefined ? "http" : "https"}://${Target.formatAddress({ host, port })}`
    if (protocol === "http") return HttpSession.open({ http, url, place, tokens, poll })
    const address = Target.formatAddress({ host, port: port + grpcOffset })
    return Credentials.make(tls).pipe(
      Effect.mapError((cause) => new Untrusted({ message: cause.message, cause })),
      Effect.flatMap((channel) =>
        GrpcSession.open({ address, url, channel, place, tokens, wanted, deadline, heartbeat })
      )
    )
  }

  /** A session of its own scope, registered as the current one. */
  const attempt = Effect.fnUntraced(function* (protocol: "grpc" | "http", host: Target.Address) {
    const own = yield* Scope.fork(scope)
    const session = yield* Effect.onExit(Scope.provide(openWith(protocol, host), own), (exit) =>
      Exit.isFailure(exit) ? Scope.close(own, exit) : Effect.void
    )
    // What fails here is found missing by its next renewal.
    const redo = [...wanted].flatMap(([service, all]) =>
      [...all.values()].filter(({ ephemeral }) => ephemeral).map((one) => Effect.ignore(session.put(service, one)))
    )
    yield* Effect.all(redo, { concurrency: "unbounded", discard: true })
    current = session
    const leave = Effect.gen(function* () {
      const reason = yield* session.closed
      yield* Effect.logDebug(`${session.name} is over: ${reason.message}`)
      if (current === session) current = undefined
      left = host
      if (wanted.size > 0) yield* Effect.ignore(open)
      yield* Scope.close(own, Exit.void)
    })
    yield* Effect.forkIn(leave, scope)
    return session
  })

  const attemptAll = Effect.gen(function* () {
    const first = yield* Random.nextIntBetween(0, hosts.length - 1)
    const rotated = [...hosts.slice(first), ...hosts.slice(0, first)]
    const order = [...rotated.filter((host) => host !== left), ...rotated.filter((host) => host === left)]
    const problems: Array<RegistryErrorReason> = []
    for (const protocol of protocols) {
      for (const host of order) {
        const tried = yield* Effect.result(attempt(protocol, host))
        if (tried._tag === "Success") return tried.success
        problems.push(tried.failure)
      }
    }
    return yield* telling(problems)
  })

  const open: Effect.Effect<Session, RegistryErrorReason> = Effect.suspend(() => {
    if (current !== undefined) return Effect.succeed(current)
    if (opening !== undefined) return Fiber.join(opening)
    const opened = Effect.ensuring(
      attemptAll,
      Effect.sync(() => (opening = undefined))
    )
    return Effect.flatMap(Effect.forkIn(opened, scope), (fiber) => Fiber.join((opening = fiber)))
  })

  /** Whatever is waited for (a session, an answer, the turn of a write): not for longer than one call. */
  const within = <A>(effect: Effect.Effect<A, RegistryErrorReason>, whom: () => string) =>
    Effect.timeoutOrElse(effect, {
      duration: deadline,
      orElse: () => Effect.fail(new TimedOut({ message: `${whom()}: no answer within ${Duration.format(deadline)}` }))
    })

  const opened = within(open, () => "no server answered; is Nacos reachable?")
  const session = Effect.suspend(() => (current === undefined ? opened : Effect.succeed(current)))

  return {
    wanted,
    failure,
    /** Does something with the session that there is. */
    use: <A>(
      key: string,
      f: (session: Session) => Effect.Effect<A, RegistryErrorReason>
    ): Effect.Effect<A, RegistryError> =>
      Effect.flatMap(session, (session) => within(f(session), () => session.name)).pipe(
        Effect.mapError((reason) => failure(key, reason))
      ),
    /** Keeps an instance alive, at most one request: so its deadline is all that is needed, unless somebody must log in. */
    beat: (
      key: string,
      service: ServiceName,
      instance: Wire.Instance
    ): Effect.Effect<boolean | undefined, RegistryError> => {
      const ask = (session: Session) => {
        const answer = session.beat(service, instance)
        return tokens.isFixed ? answer : within(answer, () => session.name)
      }
      const asked = Effect.suspend(() => (current === undefined ? Effect.flatMap(opened, ask) : ask(current)))
      return Effect.mapError(asked, (reason) => failure(key, reason))
    },
    /** Follows a service over the session that there is, and no longer. */
    watch: (service: ServiceName): Stream.Stream<Wire.ServiceInfo, RegistryError> =>
      Stream.unwrap(Effect.map(session, (session) => session.watch(service))).pipe(
        Stream.mapError((reason) => failure(service, reason))
      )
  }
})

/** Of several failures the one that somebody can do something about; each server and protocol had its own. */
const telling = (problems: ReadonlyArray<RegistryErrorReason>) => {
  const worth = problems.find(({ _tag }) => _tag !== "Unavailable" && _tag !== "TimedOut" && _tag !== "Unreadable")
  if (worth !== undefined) return Effect.fail(worth)
  return Effect.fail(new Unavailable({ message: problems.map(({ message }) => message).join("; ") }))
}
