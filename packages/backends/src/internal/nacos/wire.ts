/**
 * What Nacos keeps of an instance and how it tells of a service, over whichever protocol.
 *
 * An instance is an address in a cluster; which one it is for us is in its metadata: `muster-id` beside the entry. Its
 * weight, whether it is enabled and its other metadata are the operator's to change, and count. Instances that somebody
 * else registered are read too: their id is their address.
 */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Endpoint, ServiceName } from "@muster/core/Endpoint"
import * as Target from "@muster/core/Target"
import * as Attributes from "../attributes.ts"
import { outranks } from "../claim.ts"
import * as Entry from "../entry.ts"

/** Where in Nacos services are, and what instances are like. */
export interface Place {
  readonly namespace: string
  readonly group: string
  readonly cluster: string
  readonly ephemeral: boolean
}

/** An instance as it is registered. */
export interface Instance {
  readonly ip: string
  readonly port: number
  readonly weight: number
  readonly healthy: true
  readonly enabled: true
  readonly ephemeral: boolean
  readonly clusterName: string
  readonly metadata: Attributes.Attributes
}

/** What identifies an instance within its service. */
export const addressOf = ({ clusterName, ip, port }: Pick<Instance, "clusterName" | "ip" | "port">): string =>
  `${clusterName}#${ip}#${port}`

/** Beside the entry: an edit in the console pins each key that is there, and the entry as it was, whatever is put later. */
const draining = "muster-draining"

/**
 * An endpoint as an instance. The times are for servers that are asked over HTTP: an instance that is silent is deleted
 * at once, because a service without any healthy instance is told as if all of its instances were. Every server refuses
 * one whose beats are further apart than it may be silent, and 5 s are what they are by default.
 */
export const instance = (endpoint: Endpoint, { cluster, ephemeral }: Place, ttl: Duration.Duration): Instance => ({
  ip: endpoint.host,
  port: endpoint.port,
  weight: endpoint.weight,
  healthy: true,
  enabled: true,
  ephemeral,
  clusterName: cluster,
  metadata: {
    ...Attributes.encode(endpoint, (key) => !isOurs(key)),
    "muster-id": endpoint.id,
    ...(endpoint.draining ? { [draining]: "true" } : {}),
    "preserved.heart.beat.interval": whole(Duration.toMillis(ttl) / 3),
    "preserved.heart.beat.timeout": whole(Duration.toMillis(ttl)),
    "preserved.ip.delete.timeout": whole(Duration.toMillis(ttl))
  }
})

/** Nacos reads nothing else as a number. */
const whole = (milliseconds: number) => String(Math.ceil(milliseconds))

const isOurs = (key: string) => key === "muster-id" || key === draining || key.startsWith("preserved.")

const Host = Schema.Struct({
  ip: Schema.String,
  port: Schema.Finite,
  weight: Schema.optionalKey(Schema.Unknown),
  healthy: Schema.optionalKey(Schema.NullOr(Schema.Boolean)),
  enabled: Schema.optionalKey(Schema.NullOr(Schema.Boolean)),
  clusterName: Schema.optionalKey(Schema.NullOr(Schema.String)),
  metadata: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.String)))
})

/** A service as Nacos tells it; each instance is read by itself. A push says here alone which service it is about. */
export const ServiceInfo = Schema.Struct({
  name: Schema.optionalKey(Schema.NullOr(Schema.String)),
  groupName: Schema.optionalKey(Schema.NullOr(Schema.String)),
  hosts: Schema.Array(Schema.Unknown),
  lastRefTime: Schema.optionalKey(Schema.Finite)
})

/** A service as Nacos tells it. */
export type ServiceInfo = typeof ServiceInfo.Type

/** The name of a service with its group before it, which Nacos has put there or not. */
export const groupedName = ({ groupName, name }: Pick<ServiceInfo, "groupName" | "name">): string =>
  name?.includes("@@") === true ? name : `${groupName}@@${name}`

const decodeHost = Schema.decodeUnknownResult(Host)

/** What is in a service: the instances that count, what could not be read, and the addresses of all that are there. */
export const inventory = (service: ServiceName, { hosts }: ServiceInfo) => {
  const entries: Array<Entry.Entry> = []
  const addresses = new Set<string>()
  for (const host of hosts) {
    const decoded = decodeHost(host)
    if (Result.isFailure(decoded)) entries.push(Entry.unreadable(service, "?", decoded.failure.message))
    else {
      addresses.add(addressOf({ ...decoded.success, clusterName: decoded.success.clusterName ?? "DEFAULT" }))
      if (decoded.success.enabled !== false && decoded.success.healthy !== false) {
        entries.push(entryOf(service, decoded.success))
      }
    }
  }
  const { endpoints, skipped } = Entry.partition(entries)
  const byId = new Map<string, Endpoint>()
  for (const endpoint of endpoints) {
    const other = byId.get(endpoint.id)
    if (other === undefined || outranks(endpoint, other)) byId.set(endpoint.id, endpoint)
  }
  return { byId, endpoints: [...byId.values()], skipped, addresses }
}

const entryOf = (service: ServiceName, { ip, metadata, port, weight }: typeof Host.Type): Entry.Entry => {
  const { "muster-id": id, [draining]: isDraining, ...others } = metadata ?? {}
  const attributes = Object.fromEntries(Object.entries(others).filter(([key]) => !isOurs(key)))
  const own = id === undefined ? undefined : Attributes.decode(service, id, attributes)
  if (own !== undefined && !Entry.isEndpoint(own)) return own
  const fields = own ?? { host: ip, port, ...Attributes.foreign(attributes) }
  // Operators change the weight of an instance in the console: it counts, not the one that was registered.
  return Entry.fromFields(service, own?.id ?? Target.formatAddress({ host: ip, port }), {
    ...fields,
    ...(isDraining === "true" ? { draining: true } : {}),
    weight: weight ?? 1
  })
}
