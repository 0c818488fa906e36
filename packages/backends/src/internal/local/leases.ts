/**
 * The write port on a shared file: each call is one transaction, and what it finds tells how a lease stands.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Endpoint } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import type { Lease, Registry } from "@muster/core/Registry"
import { EntryMissing, LeaseLost, RegistryError, type RegistryErrorReason } from "@muster/core/RegistryError"
import { outranks, superseded } from "../claim.ts"
import * as Entry from "../entry.ts"
import { randomName } from "./connection.ts"
import type { File } from "./file.ts"
import type { Tables } from "./tables.ts"

/** The write port, and a look at the leases that this process holds. */
export interface Leases extends Pick<Registry["Service"], "register" | "update" | "renew" | "revoke"> {
  /** Completes `lost` of those that ended by somebody else's hand since the last look. */
  readonly check: Effect.Effect<void>
}

/** What the file holds of a time to live, which may be no whole number or have no end. */
const wholeMillis = (ttl: Duration.Duration) => Math.min(Math.ceil(Duration.toMillis(ttl)), Number.MAX_SAFE_INTEGER)

const keyOf = ({ id, service }: Endpoint) => `${service}/${id}`

/** What keeps a lease from being renewed, if anything does. */
const ended = (tables: Tables, { endpoint, id }: Lease): RegistryErrorReason | undefined => {
  const row = tables.entry(endpoint.service, endpoint.id)
  const entry = row && Entry.decode(endpoint.service, row.id, row.value)
  const readable = entry !== undefined && Entry.isEndpoint(entry)
  if (!tables.holds(id)) {
    return readable && outranks(entry, endpoint)
      ? superseded(entry)
      : new LeaseLost({ message: `lease ${id} is not in the file` })
  }
  if (row?.lease !== id) return new EntryMissing({ message: `the entry of lease ${id} is gone` })
  return readable ? undefined : new EntryMissing({ message: `the entry of lease ${id} was spoilt` })
}

/** The write port on this file; `changed` is called after each write of our own. */
export const make = Effect.fnUntraced(function* (
  file: File,
  registry: string,
  changed: () => void
): Effect.fn.Return<Leases> {
  const logLength = yield* Policy.LogLength
  const held = new Map<string, { readonly lease: Lease; readonly lost: Deferred.Deferred<RegistryError> }>()
  let checked: { readonly history: string; readonly revision: number } | undefined

  const failure = (endpoint: Endpoint, reason: RegistryErrorReason) =>
    new RegistryError({ registry, key: keyOf(endpoint), reason })

  /** One write; what `f` answers is why it refuses. */
  const write = (endpoint: Endpoint, f: (tables: Tables) => RegistryErrorReason | undefined, create = false) =>
    file
      .write((tables) => {
        const refusal = f(tables)
        tables.trim(logLength)
        return refusal
      }, create)
      .pipe(
        Effect.catchTag("Absent", () => Effect.succeed(removed)),
        Effect.flatMap((refusal) => (refusal === undefined ? Effect.sync(changed) : Effect.fail(refusal))),
        Effect.mapError((reason) => failure(endpoint, reason))
      )

  const register = Effect.fn("Local.register")(function* (endpoint: Endpoint, ttl: Duration.Duration) {
    const lost = yield* Deferred.make<RegistryError>()
    const lease: Lease = { id: yield* randomName, ttl, endpoint, lost: Deferred.await(lost) }
    const value = Entry.encode(endpoint)
    yield* write(
      endpoint,
      (tables) => {
        const before = tables.entry(endpoint.service, endpoint.id)
        const entry = before && Entry.decode(endpoint.service, endpoint.id, before.value)
        if (entry !== undefined && Entry.isEndpoint(entry) && outranks(entry, endpoint)) {
          return superseded(entry)
        }
        tables.grant({ lease: lease.id, endpoint, ttl: wholeMillis(ttl) })
        tables.put(endpoint, value, lease.id)
        if (before?.lease !== undefined) tables.end(before.lease)
        return undefined
      },
      true
    )
    held.set(lease.id, { lease, lost })
    return lease
  })

  const update = Effect.fn("Local.update")(function* (lease: Lease, endpoint: Endpoint) {
    const { id, service } = lease.endpoint
    const value = Entry.encode(new Endpoint({ ...endpoint, service, id }))
    yield* write(lease.endpoint, (tables) => {
      const reason = ended(tables, lease)
      if (reason === undefined) tables.put(lease.endpoint, value, lease.id)
      return reason
    })
  })

  const renew = Effect.fn("Local.renew")((lease: Lease) =>
    write(lease.endpoint, (tables) => {
      const reason = ended(tables, lease)
      if (reason === undefined) tables.beat(lease.id)
      return reason
    })
  )

  const revoke = Effect.fn("Local.revoke")(function* (lease: Lease) {
    yield* write(lease.endpoint, (tables) => {
      tables.end(lease.id)
      return undefined
    }).pipe(
      Effect.catchIf(
        ({ reason }) => reason === removed,
        () => Effect.void
      )
    )
    held.delete(lease.id)
  })

  const check = file
    .read((tables) => {
      const { history, last } = tables.extent()
      const touched = checked?.history === history ? new Set(tables.touched(checked.revision)) : undefined
      checked = { history, revision: last }
      return Array.from(held.values(), (one) => ({
        ...one,
        reason: touched?.has(keyOf(one.lease.endpoint)) === false ? undefined : ended(tables, one.lease)
      }))
    })
    .pipe(
      Effect.catchTag("Absent", () =>
        Effect.succeed(Array.from(held.values(), (one) => ({ ...one, reason: removed })))
      ),
      Effect.map((all) => {
        for (const { lease, lost, reason } of all) {
          if (reason === undefined || !held.delete(lease.id)) continue
          Deferred.doneUnsafe(lost, Effect.succeed(failure(lease.endpoint, reason)))
        }
      }),
      Effect.ignore
    )

  return { register, update, renew, revoke, check: Effect.suspend(() => (held.size === 0 ? Effect.void : check)) }
})

const removed = new LeaseLost({ message: "the file that it was in was removed; register again" })
