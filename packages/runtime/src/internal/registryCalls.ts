/**
 * The calls that one instance makes to its registry: each has a deadline, a typed error when time runs out, and a span
 * where there is a tracer.
 *
 * Back ends keep the deadline of each exchange themselves; the one of a registration is for one that does not, because a
 * registration that is cut short begins anew, and on a slow registry would never come to its end.
 * Staying registered asks once, with one deadline or what is left of the time to live, and lets the caller decide what
 * follows. Leaving insists: it asks again for as long as it may take, because nobody comes back to it.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Endpoint } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import { type Lease, Registry } from "@muster/core/Registry"
import { LeaseLost, RegistryError, TimedOut, Unavailable } from "@muster/core/RegistryError"
import * as Alarms from "./alarms.ts"

/**
 * The most exchanges that a registration usually has: a session or a turn, a question who has the id, another before
 * anybody is sent away or a lease, the entry.
 */
const registration = 4

export const make = Effect.fnUntraced(function* (endpoint: Endpoint) {
  const registry = yield* Registry
  const schedule = yield* Policy.Reregister
  const deadline = Duration.toMillis(yield* Policy.CallDeadline)
  const arm = Alarms.on(yield* Clock.Clock)
  const attributes = { service: endpoint.service, instance: endpoint.id, registry: registry.registry }

  const failure = (reason: RegistryError["reason"]) =>
    new RegistryError({ registry: registry.registry, key: `${endpoint.service}/${endpoint.id}`, reason })

  const late = (name: string, within: number) =>
    failure(new TimedOut({ message: `${name}: no answer within ${Math.ceil(within)} ms` }))

  const once = <A>(name: string, effect: Effect.Effect<A, RegistryError>, within: number) =>
    traced(
      `Registrar.${name}`,
      attributes,
      Alarms.within(arm, within, effect, () => Exit.fail(late(name, within)))
    )

  const insist = (name: string, effect: Effect.Effect<void, RegistryError>, within: number) =>
    Effect.suspend(() => {
      let last = late(name, within)
      return once(name, effect, within).pipe(
        Effect.catchDefect((cause) => Effect.fail(failure(new Unavailable({ message: `${name} died`, cause })))),
        Effect.tapError((error) => Effect.sync(() => (last = error))),
        Effect.retry({ schedule, while: (error) => error.isTransient }),
        Effect.timeoutOrElse({ duration: Duration.millis(within), orElse: () => Effect.fail(last) })
      )
    })

  return {
    attributes,
    register: (claim: Endpoint, ttl: Duration.Duration) =>
      once("register", registry.register(claim, ttl), registration * deadline),
    /** Renews what is held; nothing held is a lost lease. `within` is in milliseconds. */
    renew: (lease: Lease | undefined, within = Infinity) =>
      lease === undefined
        ? Effect.fail(failure(new LeaseLost({ message: "no lease is held; register first" })))
        : once("renew", registry.renew(lease), Math.min(within, deadline)),
    announceDraining: (lease: Lease, within: number) =>
      insist("update", registry.update(lease, lease.endpoint.asDraining()), within),
    revoke: (lease: Lease, within: number) => insist("revoke", registry.revoke(lease), within)
  }
})

/**
 * In a span of its own where the program has a tracer. Without one it would be for the log lines of the call alone, and a
 * thousand renewals would pay for it.
 */
const traced = <A, E>(name: string, attributes: Readonly<Record<string, string>>, effect: Effect.Effect<A, E>) =>
  Effect.withFiber<A, E>(({ cache }) =>
    cache.tracer === undefined
      ? effect
      : Effect.withSpan(effect, name, { root: true, attributes, captureStackTrace: false })
  )

/** What the registry said of our claim, if it said anything. */
export const verdict = ({ reason }: RegistryError) =>
  reason._tag === "LeaseLost" || reason._tag === "EntryMissing" || reason._tag === "Superseded"
    ? reason._tag
    : undefined
