/**
 * The write port on a Consul agent: an instance is a service of the agent, its lease a TTL check with an id of its own.
 *
 * Consul forgives a check that was passed too late and knows an id on each agent anew. So the time to live is judged
 * here as well, on our own monotonic clock, and claims to the same id are looked for on the agent before each
 * registration and in the catalog between renewals. A write that was begun is carried to its end or its deadline,
 * whether its caller waits or not, so that two writes of one instance never overtake each other.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { Endpoint, type ServiceName } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import type { Lease } from "@muster/core/Registry"
import { EntryMissing, LeaseLost, type RegistryError } from "@muster/core/RegistryError"
import * as Claim from "../claim.ts"
import * as Entry from "../entry.ts"
import * as Http from "../http.ts"
import * as Recently from "../recently.ts"
import type { Agent, Listing } from "./agent.ts"

/** Services whose claims are remembered at once. */
const services = 1000

type Claims = ReadonlyMap<string, Endpoint>

const noClaims: Claims = new Map()

/** The calls of the write port. */
export const make = Effect.fnUntraced(function* (agent: Agent) {
  const clock = yield* Clock.Clock
  /** Until when each lease that we hold is known to live, in milliseconds. */
  const deadlines = new Map<string, number>()
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  /** Listings, and the claims that were found in them: mostly what they were before. */
  const read = new Map<ServiceName, { readonly listing: Listing; readonly claims: Claims }>()
  const claimsIn = (service: ServiceName, listing: Listing) => {
    const before = read.get(service)
    if (before?.listing.text === listing.text) return before.claims
    const claims = new Map<string, Endpoint>(listing.endpoints.map((endpoint) => [endpoint.id, endpoint]))
    if (read.size >= services) read.clear()
    read.set(service, { listing, claims })
    return claims
  }

  /** The part of a call's time that a look for claims may take, twice at most. */
  const patience = Duration.times(yield* Http.callDeadline, 1 / 3)
  /** The claims of all agents; one that cannot tell in time is no reason to fail. */
  const claims = yield* Recently.make({
    capacity: services,
    timeToLive: yield* Policy.Heartbeat,
    lookup: (service: ServiceName) =>
      agent.list(service, { known: read.get(service)?.listing }).pipe(
        Effect.map((listing) => claimsIn(service, listing)),
        Effect.timeout(patience),
        Effect.orElseSucceed(() => noClaims)
      )
  })

  const superseded = (claim: Endpoint, held: Endpoint) => agent.failure(claim, Claim.superseded(held))
  const isHeld = (lease: Lease) => now() < (deadlines.get(lease.id) ?? 0)

  const yieldTo = (claim: Endpoint, held: Entry.Entry | undefined) =>
    held !== undefined && Entry.isEndpoint(held) && Claim.outranks(held, claim)
      ? Effect.fail(superseded(claim, held))
      : Effect.void

  /** What is remembered may be over by now: before anybody is sent away for good, the catalog is asked again. */
  const yieldToOtherAgents = (claim: Endpoint) =>
    Effect.flatMap(claims.get(claim.service), (byId) => {
      const held = byId.get(claim.id)
      if (held === undefined || !Claim.outranks(held, claim)) return Effect.void
      return Effect.flatMap(claims.refresh(claim.service), (byId) => yieldTo(claim, byId.get(claim.id)))
    })

  const register = Effect.fn("Consul.register")(function* (endpoint: Endpoint, ttl: Duration.Duration) {
    const found = yield* agent.find(endpoint)
    if (found !== undefined && !found.isCritical) yield* yieldTo(endpoint, found.entry)
    yield* yieldToOtherAgents(endpoint)
    const id = `muster-${Math.floor((yield* Random.next) * 2 ** 52).toString(36)}`
    const sentAt = now()
    yield* agent.register(endpoint, id, ttl, true)
    deadlines.set(id, sentAt + Duration.toMillis(ttl))
    const lease: Lease = { id, ttl, endpoint, lost: Effect.never }
    return lease
  })

  /** Why a lease is not passed: somebody outranks it, the agent does not know the instance, or its time is over. */
  const whyOver = Effect.fnUntraced(function* (lease: Lease): Effect.fn.Return<RegistryError, RegistryError> {
    const { endpoint } = lease
    const found = yield* agent.find(endpoint)
    if (found !== undefined && Entry.isEndpoint(found.entry) && Claim.outranks(found.entry, endpoint)) {
      return superseded(endpoint, found.entry)
    }
    if (found === undefined && isHeld(lease)) {
      const message =
        "the agent does not know the service: it lost its data, or somebody deregistered it; register again"
      return agent.failure(endpoint, new EntryMissing({ message }))
    }
    deadlines.delete(lease.id)
    return agent.failure(endpoint, new LeaseLost({ message: `lease ${lease.id} is gone; register again` }))
  })

  const over = (lease: Lease) => Effect.flatMap(whyOver(lease), Effect.fail)

  const pass = (lease: Lease) =>
    Effect.suspend(() => {
      const sentAt = now()
      if (!isHeld(lease)) return over(lease)
      return Effect.flatMap(agent.pass(lease.endpoint, lease.id), (isPassed) => {
        if (!isPassed) return over(lease)
        deadlines.set(lease.id, sentAt + Duration.toMillis(lease.ttl))
        return Effect.void
      })
    })

  const renew = (lease: Lease) => Effect.flatMap(pass(lease), () => yieldToOtherAgents(lease.endpoint))

  const update = Effect.fn("Consul.update")(function* (lease: Lease, endpoint: Endpoint) {
    yield* pass(lease)
    const { id, service } = lease.endpoint
    yield* agent.register(new Endpoint({ ...endpoint, id, service }), lease.id, lease.ttl, false)
  })

  const revoke = Effect.fn("Consul.revoke")(function* (lease: Lease) {
    deadlines.delete(lease.id)
    const found = yield* agent.find(lease.endpoint)
    if (found?.holds(lease.id) === true) yield* agent.deregister(lease.endpoint)
  })

  return {
    register: (endpoint: Endpoint, ttl: Duration.Duration) => Effect.uninterruptible(register(endpoint, ttl)),
    update: (lease: Lease, endpoint: Endpoint) => Effect.uninterruptible(update(lease, endpoint)),
    renew,
    revoke: (lease: Lease) => Effect.uninterruptible(revoke(lease))
  }
})
