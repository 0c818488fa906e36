/**
 * From records to instances: RFC 2782 for SRV records, one port for plain addresses.
 *
 * Only the records of the best (lowest) priority take part in normal picks, each with its weight, which the addresses of
 * its target share; the others get the weight 0, which keeps them for when nothing else is left. A weight of 0 beside
 * others means a very small share. One address is one instance, however many records name it.
 */
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Skipped } from "@muster/core/Change"
import type { Endpoint, ServiceName } from "@muster/core/Endpoint"
import type { RegistryError } from "@muster/core/RegistryError"
import * as Target from "@muster/core/Target"
import * as Entry from "../entry.ts"
import type { NameServer, Service } from "./nameServer.ts"

/** What there is, and for how long that holds; `undefined` where nobody says. */
export interface Inventory {
  readonly endpoints: ReadonlyArray<Endpoint>
  readonly skipped: ReadonlyArray<Skipped>
  readonly ttl: Duration.Duration | undefined
}

/** How many targets of SRV records are looked up at once. */
const concurrency = 16

/** The share of the least weight that a weight of 0 gets beside it. */
const verySmall = 0.01

/** The addresses of a name, all with this port. */
export const addresses = (from: NameServer, service: ServiceName, name: string, port: number) =>
  Effect.map(from.addresses(name), (found): Inventory => {
    const ttl = Arr.reduce(found, undefined, (least: Duration.Duration | undefined, { ttl }) =>
      least === undefined ? ttl : Duration.min(least, ttl)
    )
    return { ...instances(found.map(({ host }) => entry(service, { host, port, weight: 1 }))), ttl }
  })

/** What the SRV records of a name point at. */
export const services = Effect.fnUntraced(function* (
  from: NameServer,
  service: ServiceName,
  name: string
): Effect.fn.Return<Inventory, RegistryError> {
  const records = (yield* from.services(name)).filter(({ target }) => target !== "")
  const targets = Arr.dedupe(records.map(({ target }) => target))
  const found = new Map(
    yield* Effect.forEach(targets, (target) => Effect.map(from.addresses(target), (all) => [target, all] as const), {
      concurrency
    })
  )
  const weights = weigh(records)
  const entries = records.flatMap((record, n): ReadonlyArray<Entry.Entry> => {
    const { port, target } = record
    const all = found.get(target) ?? []
    if (all.length === 0) return [Entry.unreadable(service, `${target}:${port}`, "its target has no address")]
    const weight = (weights[n] ?? 0) / all.length
    return all.map(({ host }) => entry(service, { host, port, weight, metadata: { target } }))
  })
  return { ...instances(entries), ttl: undefined }
})

/** By record: its share of normal picks. */
const weigh = (records: ReadonlyArray<Service>): ReadonlyArray<number> => {
  const best = Math.min(...records.map(({ priority }) => priority))
  const least = Math.min(
    ...records.flatMap(({ priority, weight }) => (priority === best && weight > 0 ? [weight] : []))
  )
  const none = Number.isFinite(least) ? least * verySmall : 1
  return records.map(({ priority, weight }) => (priority !== best ? 0 : weight > 0 ? weight : none))
}

const entry = (service: ServiceName, fields: Target.Address & Readonly<Record<string, unknown>>) =>
  Entry.fromFields(service, Target.formatAddress(fields), fields)

/** Each address once: the first that is picked normally, else the first. */
const instances = (entries: ReadonlyArray<Entry.Entry>) => {
  const { endpoints, skipped } = Entry.partition(entries)
  const byId = new Map<string, Endpoint>()
  for (const endpoint of endpoints) {
    const known = byId.get(endpoint.id)
    if (known === undefined || (known.weight === 0 && endpoint.weight > 0)) byId.set(endpoint.id, endpoint)
  }
  return { endpoints: [...byId.values()], skipped }
}
