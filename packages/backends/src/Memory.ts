/**
 * A registry inside the process: both ports, nothing to install, gone with its layer.
 *
 * It is a real registry, not a recording: leases expire on the monotonic clock, a bounded log lets a watch resume or
 * sends it a full read, claims are fenced. `Admin` is the hand of its operator, and so of every test: it writes raw
 * entries, takes the registry away and brings it back, wipes it and forgets its log.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import type { Change, Cursor } from "@muster/core/Change"
import { Endpoint, type ServiceName } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import { type Lease, Registry } from "@muster/core/Registry"
import { EntryMissing, LeaseLost, RegistryError, Unavailable } from "@muster/core/RegistryError"
import { Resolver } from "@muster/core/Resolver"
import * as Claim from "./internal/claim.ts"
import * as Entry from "./internal/entry.ts"
import * as RevisionLog from "./internal/revisionLog.ts"

/**
 * What the operator of the registry can do to it, past its ports.
 *
 * @category services
 * @since 0.1.0
 */
export class Admin extends Context.Service<
  Admin,
  {
    /** Writes an entry without a lease, whatever its text. */
    readonly write: (service: ServiceName, id: string, text: string) => Effect.Effect<void>
    /** Removes an entry and leaves its lease. */
    readonly remove: (service: ServiceName, id: string) => Effect.Effect<void>
    /** Fails every call and every watch with `Unavailable`; leases stand still meanwhile. */
    readonly down: Effect.Effect<void>
    /** Answers again; what was registered is still there, each lease with its full time to live. */
    readonly up: Effect.Effect<void>
    /** Forgets everything: the registry that is there now never heard of any lease or cursor. */
    readonly wipe: Effect.Effect<void>
    /** Forgets the log, so that no earlier cursor resumes; entries and leases stay. */
    readonly trim: Effect.Effect<void>
  }
>()("@muster/backends/Memory/Admin") {}

const registry = "memory:"

interface Stored {
  readonly entry: Entry.Entry
  readonly lease: string | undefined
}

interface Granted {
  readonly lease: Lease
  readonly lost: Deferred.Deferred<RegistryError>
}

interface Revision {
  readonly service: ServiceName
  readonly change: Change
}

const keyOf = ({ service, id }: Endpoint) => `${service}/${id}`

/** One life of the registry: wiping it begins another. */
const life = (history: number) => ({
  history: String(history),
  services: new Map<ServiceName, Map<string, Stored>>(),
  leases: new Map<string, Granted>(),
  log: new Array<Revision>(),
  trimmed: 0
})

const make = Effect.gen(function* () {
  const logLength = yield* Policy.LogLength
  const timers = yield* FiberMap.make<string>()
  let store = life(1)
  let up = true
  let grants = 0
  const notice = RevisionLog.makeNotice()

  const last = () => store.trimmed + store.log.length
  const trim = (length: number) => {
    store.trimmed += store.log.splice(0, Math.max(0, store.log.length - length)).length
  }
  const commit = (service: ServiceName, what: Pick<Extract<Change, { _tag: "Changed" }>, "deltas" | "skipped">) => {
    store.log.push({
      service,
      change: { _tag: "Changed", ...what, cursor: RevisionLog.cursor(store.history, last() + 1) }
    })
    if (store.log.length >= 2 * logLength) trim(logLength)
    notice.notify()
  }
  const find = (service: ServiceName, id: string) => store.services.get(service)?.get(id)
  const put = (service: ServiceName, id: string, stored: Stored) => {
    const entries = store.services.get(service) ?? new Map<string, Stored>()
    store.services.set(service, entries.set(id, stored))
    commit(
      service,
      Entry.isEndpoint(stored.entry)
        ? { deltas: [{ _tag: "Put", endpoint: stored.entry }], skipped: [] }
        : { deltas: [], skipped: [stored.entry] }
    )
  }
  const remove = (service: ServiceName, id: string) => {
    const entries = store.services.get(service)
    const stored = entries?.get(id)
    if (entries === undefined || stored === undefined || !entries.delete(id)) return
    if (entries.size === 0) store.services.delete(service)
    const known = stored.entry.id
    if (known !== undefined) commit(service, { deltas: [{ _tag: "Removed", id: known }], skipped: [] })
  }

  const failure = (key: string, reason: RegistryError["reason"]) => new RegistryError({ registry, key, reason })
  const gone = (lease: Lease) => failure(keyOf(lease.endpoint), new LeaseLost({ message: `lease ${lease.id} is gone` }))
  const superseded = (lost: Endpoint, held: Endpoint) => failure(keyOf(lost), Claim.superseded(held))
  const whileUp = <A>(key: string, effect: Effect.Effect<A, RegistryError>) =>
    Effect.suspend(() =>
      up ? effect : Effect.fail(failure(key, new Unavailable({ message: "the registry was taken down" })))
    )

  /** Who outranks this claim, if anyone does. */
  const holder = (claim: Endpoint) => {
    const entry = find(claim.service, claim.id)?.entry
    return entry !== undefined && Entry.isEndpoint(entry) && Claim.outranks(entry, claim) ? entry : undefined
  }
  const drop = (lease: string, error: RegistryError) => {
    const granted = store.leases.get(lease)
    if (granted === undefined || !store.leases.delete(lease)) return
    Deferred.doneUnsafe(granted.lost, Effect.succeed(error))
  }
  const expire = (lease: Lease) =>
    Effect.sync(() => {
      drop(lease.id, gone(lease))
      const { service, id } = lease.endpoint
      if (find(service, id)?.lease === lease.id) remove(service, id)
    })
  const startTimer = (lease: Lease) => FiberMap.run(timers, lease.id, Effect.delay(expire(lease), lease.ttl))

  /** Fails unless the lease and its entry are there. */
  const check = (lease: Lease): Effect.Effect<void, RegistryError> => {
    if (!store.leases.has(lease.id)) {
      const held = holder(lease.endpoint)
      return Effect.fail(held === undefined ? gone(lease) : superseded(lease.endpoint, held))
    }
    const { service, id } = lease.endpoint
    return find(service, id)?.lease === lease.id
      ? Effect.void
      : Effect.fail(failure(keyOf(lease.endpoint), new EntryMissing({ message: `lease ${lease.id} has no entry` })))
  }

  const register = Effect.fn("Memory.register")(function* (endpoint: Endpoint, ttl: Duration.Duration) {
    const held = holder(endpoint)
    if (held !== undefined) return yield* superseded(endpoint, held)
    const lost = Deferred.makeUnsafe<RegistryError>()
    const lease: Lease = { id: String(++grants), ttl, endpoint, lost: Deferred.await(lost) }
    const before = find(endpoint.service, endpoint.id)
    store.leases.set(lease.id, { lease, lost })
    put(endpoint.service, endpoint.id, { entry: endpoint, lease: lease.id })
    if (before?.lease !== undefined) {
      const old = store.leases.get(before.lease)?.lease
      if (old !== undefined) {
        drop(old.id, Claim.outranks(endpoint, old.endpoint) ? superseded(old.endpoint, endpoint) : gone(old))
        yield* FiberMap.remove(timers, old.id)
      }
    }
    yield* startTimer(lease)
    return lease
  })

  const update = Effect.fn("Memory.update")(function* (lease: Lease, endpoint: Endpoint) {
    yield* check(lease)
    const { service, id } = lease.endpoint
    put(service, id, { entry: new Endpoint({ ...endpoint, service, id }), lease: lease.id })
  })

  const revoke = Effect.fn("Memory.revoke")(function* (lease: Lease) {
    yield* FiberMap.remove(timers, lease.id)
    yield* expire(lease)
  })

  const read = (service: ServiceName, from: Cursor | undefined): RevisionLog.Reading => {
    const cursor = RevisionLog.cursor(store.history, last())
    const revision = RevisionLog.resumable(from, { ...store, last: last() })
    if (revision === undefined) {
      const entries = Array.from(store.services.get(service)?.values() ?? [], ({ entry }) => entry)
      return { cursor, changes: [{ _tag: "Reset", cursor, ...Entry.partition(entries) }] }
    }
    const missed = store.log.slice(revision - store.trimmed)
    return { cursor, changes: missed.flatMap((one) => (one.service === service ? [one.change] : [])) }
  }

  return Context.make(Registry, {
    registry,
    register: (endpoint, ttl) => whileUp(keyOf(endpoint), Effect.uninterruptible(register(endpoint, ttl))),
    update: (lease, endpoint) => whileUp(keyOf(lease.endpoint), update(lease, endpoint)),
    renew: (lease) =>
      whileUp(
        keyOf(lease.endpoint),
        Effect.andThen(
          Effect.suspend(() => check(lease)),
          startTimer(lease)
        )
      ),
    revoke: (lease) => whileUp(keyOf(lease.endpoint), Effect.uninterruptible(revoke(lease)))
  }).pipe(
    Context.add(Resolver, {
      registry,
      watch: (service, from) =>
        RevisionLog.follow(
          from,
          (position) =>
            whileUp(
              service,
              Effect.sync(() => read(service, position))
            ),
          notice
        )
    }),
    Context.add(Admin, {
      write: (service, id, text) =>
        Effect.sync(() => put(service, id, { entry: Entry.decode(service, id, text), lease: undefined })),
      remove: (service, id) => Effect.sync(() => remove(service, id)),
      down: Effect.suspend(() => {
        up = false
        notice.notify()
        return FiberMap.clear(timers)
      }),
      up: Effect.suspend(() => {
        up = true
        notice.notify()
        return Effect.forEach(store.leases.values(), ({ lease }) => startTimer(lease), { discard: true })
      }),
      wipe: Effect.suspend(() => {
        for (const { lease } of store.leases.values()) drop(lease.id, gone(lease))
        store = life(Number(store.history) + 1)
        notice.notify()
        return FiberMap.clear(timers)
      }),
      trim: Effect.sync(() => trim(0))
    })
  )
})

/**
 * A registry inside the process; each build of the layer is a registry of its own.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Registry | Resolver | Admin> = Layer.effectContext(make)
