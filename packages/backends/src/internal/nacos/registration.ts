/**
 * The write port on Nacos: a lease is ours to keep, because a connection keeps all that was registered over it alive.
 *
 * So the time to live of each lease is judged here, on our own monotonic clock: an instance whose lease is not renewed
 * is deregistered when its time is over. A renewal asks the server whether it still knows the instance, and a listing
 * whether somebody else claims its id. A write that was begun is carried to its end or its deadline, whether its caller
 * waits or not.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import { Endpoint, type ServiceName } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import type { Lease } from "@muster/core/Registry"
import { EntryMissing, LeaseLost, type RegistryError } from "@muster/core/RegistryError"
import * as Claim from "../claim.ts"
import * as Recently from "../recently.ts"
import type { Connection } from "./connection.ts"
import type { Session } from "./session.ts"
import * as Wire from "./wire.ts"

/** Services whose listings are remembered at once. */
const services = 1000

/** What was registered a moment ago may not be listed yet: absence counts from a second after. */
const settling = 1000

interface Held {
  readonly lease: Lease
  /** What was last registered, and when. */
  instance: Wire.Instance
  at: number
  /** Until when the lease lives. */
  until: number
}

const keyOf = ({ id, service }: Endpoint) => `${service}/${id}`

type Inventory = ReturnType<typeof Wire.inventory>

const isOutranked = (claim: Endpoint, by: Endpoint | undefined): by is Endpoint =>
  by !== undefined && Claim.outranks(by, claim)

/** The calls of the write port. */
export const make = Effect.fnUntraced(function* (connection: Connection, place: Wire.Place) {
  const clock = yield* Clock.Clock
  const expiry = yield* FiberHandle.make()
  const scope = yield* Effect.scope
  const reregister = yield* Policy.Reregister
  /** Each lease until its instance is withdrawn, which may take longer than it is held. */
  const leases = new Map<string, Held>()
  /** The lease that holds each id of ours. */
  const holders = new Map<string, Held>()
  /** The lease that a listing left out, by service and address, and over which session. */
  const missed = new Map<string, { readonly held: Held; readonly session: Session }>()
  /** A listing says mostly what the one before did, and is not read again then. */
  const read = new Map<ServiceName, { info: Wire.ServiceInfo; readonly told: string; readonly inventory: Inventory }>()
  const inventoryOf = (service: ServiceName, info: Wire.ServiceInfo): Inventory => {
    const before = read.get(service)
    if (before?.info === info) return before.inventory
    const told = JSON.stringify(info.hosts)
    if (before?.told === told) {
      before.info = info
      return before.inventory
    }
    const inventory = Wire.inventory(service, info)
    read.set(service, { info, told, inventory })
    return inventory
  }
  const listings = yield* Recently.make({
    capacity: services,
    timeToLive: yield* Policy.PollRemote,
    lookup: (service: ServiceName) =>
      Effect.map(
        connection.use(service, (session) => session.list(service)),
        (info) => inventoryOf(service, info)
      )
  })
  let granted = 0

  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  const superseded = (claim: Endpoint, held: Endpoint) => connection.failure(keyOf(claim), Claim.superseded(held))
  const gone = ({ endpoint, id }: Lease) =>
    connection.failure(keyOf(endpoint), new LeaseLost({ message: `lease ${id} is gone; register again` }))

  /** Somebody who outranks this claim, if anyone does: among ourselves, or in a listing of now. */
  const rival = (claim: Endpoint): Effect.Effect<Endpoint | undefined, RegistryError> => {
    const ours = holders.get(keyOf(claim))?.lease.endpoint
    if (isOutranked(claim, ours)) return Effect.succeed(ours)
    return Effect.flatMap(listings.get(claim.service), ({ byId }) =>
      isOutranked(claim, byId.get(claim.id)) ? listedRival(claim) : Effect.undefined
    )
  }

  const listedRival = (claim: Endpoint) =>
    Effect.map(listings.refresh(claim.service), ({ byId }) => {
      const theirs = byId.get(claim.id)
      return isOutranked(claim, theirs) ? theirs : undefined
    })

  const instances = (service: ServiceName) => {
    const known = connection.wanted.get(service)
    if (known !== undefined) return known
    const made = new Map<string, Wire.Instance>()
    connection.wanted.set(service, made)
    return made
  }

  const put = (endpoint: Endpoint, ttl: Duration.Duration) =>
    Effect.suspend(() => {
      const { service } = endpoint
      const instance = Wire.instance(endpoint, place, ttl)
      const address = Wire.addressOf(instance)
      const all = instances(service)
      const before = all.get(address)
      all.set(address, instance)
      return connection
        .use(keyOf(endpoint), (session) => session.put(service, instance))
        .pipe(
          Effect.as(instance),
          Effect.tapError(() => restore(endpoint, address, before))
        )
    })

  /** What a registration that failed had replaced is wanted again, unless its lease ended meanwhile: then it has to go. */
  const restore = (endpoint: Endpoint, address: string, before: Wire.Instance | undefined) =>
    Effect.suspend(() => {
      const all = instances(endpoint.service)
      all.delete(address)
      if (before === undefined) return Effect.void
      const isHeld = [...holders.values()].some(({ instance }) => instance === before)
      if (!isHeld) return Effect.forkIn(insist(drop(endpoint, before)), scope)
      all.set(address, before)
      return Effect.void
    })

  /** Takes an instance out, unless another lease has its address. What fails can be asked again. */
  const drop = ({ service }: Endpoint, instance: Wire.Instance) =>
    Effect.suspend(() => {
      const all = instances(service)
      const address = Wire.addressOf(instance)
      if ((all.get(address) ?? instance) !== instance) return Effect.void
      all.delete(address)
      missed.delete(`${service}/${address}`)
      if (all.size === 0) {
        connection.wanted.delete(service)
        read.delete(service)
      }
      return connection.use(`${service}/${address}`, (session) => session.drop(service, instance))
    })

  const heldBy = ({ endpoint, id }: Lease) => {
    const held = holders.get(keyOf(endpoint))
    return held?.lease.id === id ? held : undefined
  }

  /** Ends a lease at once; it is forgotten when its instance is gone too. */
  const end = (held: Held) =>
    Effect.suspend(() => {
      const { endpoint, id } = held.lease
      if (heldBy(held.lease) !== undefined) holders.delete(keyOf(endpoint))
      if (!leases.has(id)) return Effect.void
      return Effect.map(drop(endpoint, held.instance), () => void leases.delete(id))
    })

  /** Withdraws what nobody comes back to: if not now, then later. */
  const insist = (withdrawal: Effect.Effect<void, RegistryError>) => {
    const later = Effect.retry(withdrawal, { schedule: reregister, while: ({ isTransient }) => isTransient })
    return withdrawal.pipe(Effect.catch(() => Effect.forkIn(Effect.ignore(later), scope)))
  }

  /** One fiber for all leases: it sleeps until the first of them may be over, and most were renewed by then. */
  let wakesAt = Infinity
  const expire = Effect.gen(function* () {
    while (holders.size > 0) {
      wakesAt = [...holders.values()].reduce((first, { until }) => Math.min(first, until), Infinity)
      yield* Effect.sleep(Duration.millis(Math.max(0, wakesAt - now())))
      for (const held of holders.values()) {
        // A registry that hangs must not keep the other leases.
        if (held.until <= now()) yield* Effect.forkIn(insist(end(held)), scope, { startImmediately: true })
      }
    }
    wakesAt = Infinity
  })
  const prolong = (held: Held) =>
    Effect.suspend(() => {
      held.until = now() + Duration.toMillis(held.lease.ttl)
      return held.until < wakesAt ? FiberHandle.run(expiry, expire) : Effect.void
    })

  const register = Effect.fn("Nacos.register")(function* (endpoint: Endpoint, ttl: Duration.Duration) {
    const by = yield* rival(endpoint)
    if (by !== undefined) return yield* superseded(endpoint, by)
    const instance = yield* put(endpoint, ttl)
    const lease: Lease = { id: String(++granted), ttl, endpoint, lost: Effect.never }
    const held: Held = { lease, instance, at: now(), until: Infinity }
    const before = holders.get(keyOf(endpoint))
    leases.set(lease.id, held)
    holders.set(keyOf(endpoint), held)
    yield* prolong(held)
    if (before !== undefined) yield* insist(end(before))
    return lease
  })

  /** Whether Nacos lists the instance, or leaves it out because an operator disabled it. */
  const isKnown = Effect.fnUntraced(function* (held: Held) {
    const { at, instance, lease } = held
    const { service } = lease.endpoint
    const address = Wire.addressOf(instance)
    const name = `${service}/${address}`
    const isListed = ({ addresses }: Inventory) => addresses.has(address)
    const refreshed = () => Effect.delay(listings.refresh(service), Duration.millis(Math.max(0, at + settling - now())))
    if (isListed(yield* listings.get(service)) || isListed(yield* refreshed())) {
      missed.delete(name)
      return true
    }
    const session = yield* connection.use(name, Effect.succeed)
    const before = missed.get(name)
    // Registered again over this very session, and left out again: so it is there.
    if (before?.session === session && before.held !== held) return true
    missed.set(name, { held, session })
    return false
  })

  /** Fails unless the lease is held, its instance is known, and nobody outranks it. */
  const check = (lease: Lease): Effect.Effect<Held, RegistryError> =>
    Effect.flatMap(rival(lease.endpoint), (by) => {
      const held = heldBy(lease)
      if (by !== undefined) return yieldTo(by, lease.endpoint, held)
      if (held === undefined) return Effect.fail(gone(lease))
      const { endpoint } = lease
      return Effect.flatMap(connection.beat(keyOf(endpoint), endpoint.service, held.instance), (known) =>
        known === undefined
          ? Effect.flatMap(isKnown(held), (isThere) => unlessOver(held, isThere))
          : unlessOver(held, known)
      )
    })

  const yieldTo = (by: Endpoint, endpoint: Endpoint, held: Held | undefined) => {
    const refusal = Effect.fail(superseded(endpoint, by))
    if (held === undefined) return refusal
    // Whether or not this renewal is waited for to its end.
    return Effect.andThen(Effect.forkIn(insist(end(held)), scope, { startImmediately: true }), refusal)
  }

  /** It may have run out while the server was asked. */
  const unlessOver = (held: Held, isThere: boolean): Effect.Effect<Held, RegistryError> => {
    const { lease } = held
    if (heldBy(lease) === undefined) return Effect.fail(gone(lease))
    if (isThere) return Effect.succeed(held)
    const message =
      "Nacos does not list the instance: it lost its data, or somebody deregistered or disabled it; register again"
    return Effect.fail(connection.failure(keyOf(lease.endpoint), new EntryMissing({ message })))
  }

  const renew = (lease: Lease) =>
    Effect.flatMap(
      Effect.suspend(() => check(lease)),
      prolong
    )

  const update = Effect.fn("Nacos.update")(function* (lease: Lease, endpoint: Endpoint) {
    const held = yield* check(lease)
    const { id, service } = lease.endpoint
    const before = held.instance
    const instance = yield* put(new Endpoint({ ...endpoint, id, service }), lease.ttl)
    if (heldBy(lease) === undefined) {
      yield* insist(drop(endpoint, instance))
      return yield* gone(lease)
    }
    held.instance = instance
    held.at = now()
    yield* insist(drop(endpoint, before))
  })

  const revoke = Effect.fn("Nacos.revoke")(function* (lease: Lease) {
    const held = leases.get(lease.id)
    if (held !== undefined) yield* end(held)
  })

  return {
    register: (endpoint: Endpoint, ttl: Duration.Duration) => Effect.uninterruptible(register(endpoint, ttl)),
    update: (lease: Lease, endpoint: Endpoint) => Effect.uninterruptible(update(lease, endpoint)),
    renew,
    revoke: (lease: Lease) => Effect.uninterruptible(revoke(lease))
  }
})
