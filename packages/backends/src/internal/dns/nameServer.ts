/**
 * Questions to name servers, each with its deadline; interrupting cancels them.
 *
 * A name that does not exist, or has no such records, is an answer: nothing. Whatever else goes wrong says nothing
 * about the name and fails. (Effect's own Dns service is not used because it does not tell how long an answer holds.)
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import { promises as dns } from "node:dns"
import * as Policy from "@muster/core/Policy"
import {
  PermissionDenied,
  RegistryError,
  type RegistryErrorReason,
  TimedOut,
  Unavailable,
  Unreadable
} from "@muster/core/RegistryError"
import * as Target from "@muster/core/Target"

/** An address, and for how long it holds. */
interface Address {
  readonly host: string
  readonly ttl: Duration.Duration
}

/** A place where a service is: RFC 2782. `target` is empty where the service is decidedly not available. */
export interface Service {
  readonly target: string
  readonly port: number
  readonly priority: number
  readonly weight: number
}

/** What can be asked. */
export interface NameServer {
  readonly services: (name: string) => Effect.Effect<ReadonlyArray<Service>, RegistryError>
  readonly addresses: (name: string) => Effect.Effect<ReadonlyArray<Address>, RegistryError>
}

/** Which name servers, and which addresses they are asked for. */
export interface Options {
  readonly nameServers?: ReadonlyArray<Target.Address> | undefined
  readonly family?: "IPv4" | "IPv6" | undefined
}

/** Reads the policy once; what it gives opens a way to the name servers for as long as the scope lives. */
export const make = Effect.fnUntraced(function* (registry: string, { family, nameServers }: Options) {
  const deadline = yield* Policy.CallDeadline
  const failure = (key: string, reason: RegistryErrorReason) => new RegistryError({ registry, key, reason })

  const ask = <A>(type: string, name: string, query: () => Promise<ReadonlyArray<A>>) => {
    const what = `${type} of ${name}`
    const late = () => new TimedOut({ message: `${what}: no name server answered within ${Duration.format(deadline)}` })
    return Effect.tryPromise({ try: query, catch: (cause) => cause }).pipe(
      Effect.catch((cause) => {
        const code = Predicate.hasProperty(cause, "code") ? String(cause.code) : ""
        if (code === "ENOTFOUND" || code === "ENODATA") return Effect.succeed([])
        return Effect.fail(failure(name, code === "ETIMEOUT" ? late() : reasonOf(what, code, cause)))
      }),
      Effect.timeoutOrElse({ duration: deadline, orElse: () => Effect.fail(failure(name, late())) })
    )
  }

  /** Each has its own, so that cancelling hits no other. */
  const open: Effect.Effect<NameServer, RegistryError, Scope.Scope> = Effect.gen(function* () {
    const resolver = yield* Effect.acquireRelease(
      Effect.try({
        try: () => {
          // The second try waits twice as long as the first.
          const resolver = new dns.Resolver({ timeout: Math.ceil(Duration.toMillis(deadline) / 3), tries: 2 })
          if (nameServers !== undefined) resolver.setServers(nameServers.map(Target.formatAddress))
          return resolver
        },
        catch: noNameServer
      }),
      (resolver) => Effect.sync(() => resolver.cancel())
    )
    const v4 = (name: string) => ask("A", name, () => resolver.resolve4(name, { ttl: true }))
    const v6 = (name: string) => ask("AAAA", name, () => resolver.resolve6(name, { ttl: true }))
    const asked = family === "IPv4" ? [v4] : family === "IPv6" ? [v6] : [v4, v6]
    return {
      services: (name) =>
        Effect.map(
          ask("SRV", name, () => resolver.resolveSrv(name)),
          (records) => records.map(({ name: target, ...rest }) => ({ target, ...rest }))
        ),
      addresses: (name) =>
        Effect.map(
          Effect.all(
            asked.map((query) => query(name)),
            { concurrency: "unbounded" }
          ),
          (answers) => answers.flat().map(({ address, ttl }) => ({ host: address, ttl: Duration.seconds(ttl) }))
        )
    }
  })
  const noNameServer = (cause: unknown) => {
    const said = Predicate.isError(cause) ? cause.message : String(cause)
    const message = `${said}; a name server is given by its IP address`
    return failure("name servers", new Unreadable({ message, cause }))
  }
  return open
})

const reasonOf = (what: string, code: string, cause: unknown) => {
  switch (code) {
    case "EREFUSED":
      return new PermissionDenied({
        message: `${what}: the name server refuses to answer; is it the right one?`,
        cause
      })
    case "EBADNAME":
      return new Unreadable({ message: `${what}: this is no DNS name`, cause })
    case "EFORMERR":
    case "EBADRESP":
    case "ENOTIMP":
      return new Unreadable({ message: `${what}: the name server answered ${code}`, cause })
    default:
      return new Unavailable({ message: `${what}: ${code === "" ? String(cause) : code}`, cause })
  }
}
