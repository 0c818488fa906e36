/**
 * What is sent to Consul and what it answers: the JSON of a registration and of the two readings that are made.
 *
 * An instance is the service `<service>:<id>` of its agent, and its lease is the TTL check of that service. Services
 * that somebody else registered are read too: their id is made of their node and their id there, their weight is the
 * one of a passing service, and `zone` and `version` are taken from their metadata.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Endpoint, ServiceName } from "@muster/core/Endpoint"
import * as Attributes from "../attributes.ts"
import { outranks } from "../claim.ts"
import * as Entry from "../entry.ts"

const Service = Schema.Struct({
  ID: Schema.String,
  Address: Schema.optionalKey(Schema.NullOr(Schema.String)),
  Port: Schema.optionalKey(Schema.NullOr(Schema.Finite)),
  Meta: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.String))),
  Weights: Schema.optionalKey(Schema.NullOr(Schema.Struct({ Passing: Schema.Finite })))
})

/** One entry of `/v1/health/service/<name>`. */
const Healthy = Schema.Struct({ Node: Schema.Struct({ Node: Schema.String, Address: Schema.String }), Service })

/** The answer of `/v1/agent/health/service/id/<id>`. */
const Instance = Schema.Struct({
  AggregatedStatus: Schema.String,
  Service,
  Checks: Schema.Array(Schema.Struct({ CheckID: Schema.String }))
})

const decodeHealthy = Schema.decodeUnknownResult(Healthy)
const decodeList = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Array(Schema.Unknown)))
const decodeInstance = Schema.decodeUnknownOption(Schema.fromJsonString(Instance))

/** The id of the service of an instance: letters that every path of the agent takes as they are, and `~` with two digits. */
export const serviceId = ({ id, service }: Pick<Endpoint, "id" | "service">): string =>
  `${service}:${id.replaceAll(/[^A-Za-z0-9._-]/g, (letter) => `~${letter.charCodeAt(0).toString(16)}`)}`

const instanceId = (service: string, serviceId: string): string | undefined =>
  serviceId.startsWith(`${service}:`)
    ? serviceId
        .slice(service.length + 1)
        .replaceAll(/~([0-9a-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
    : undefined

/** The body of a registration whose lease is the TTL check `lease`. */
export const registration = (
  endpoint: Endpoint,
  lease: string,
  ttl: Duration.Duration,
  forgetAfter: Duration.Duration
) => ({
  ID: serviceId(endpoint),
  Name: endpoint.service,
  Address: endpoint.host,
  Port: endpoint.port,
  Meta: Attributes.encode(endpoint, isMeta),
  Weights: { Passing: Math.min(65_535, Math.max(1, Math.round(endpoint.weight))), Warning: 1 },
  Check: {
    CheckID: lease,
    Name: "Muster lease",
    Notes: "Passed by the instance itself for as long as it lives",
    TTL: `${Duration.toMillis(ttl)}ms`,
    Status: "passing",
    DeregisterCriticalServiceAfter: `${Duration.toMillis(forgetAfter)}ms`
  }
})

/** What Consul takes as service metadata. */
const isMeta = (key: string, value: string) =>
  /^(?!consul-)[A-Za-z0-9_-]{1,128}$/.test(key) && Buffer.byteLength(value) <= 512

/** What the agent knows of one instance. */
export interface Known {
  readonly entry: Entry.Entry
  readonly isCritical: boolean
  readonly holds: (lease: string) => boolean
}

/** Reads an answer about one instance; `undefined` when it is none. */
export const known = ({ id, service }: Endpoint, text: string): Known | undefined =>
  Option.getOrUndefined(
    Option.map(decodeInstance(text), ({ AggregatedStatus, Checks, Service }) => ({
      entry: Attributes.decode(service, id, Service.Meta ?? {}) ?? { key: Service.ID, problem: "it is not Muster's" },
      isCritical: AggregatedStatus === "critical",
      holds: (lease) => Checks.some(({ CheckID }) => CheckID === lease)
    }))
  )

/**
 * Reads a listing; `undefined` when it is none. Of two agents that know the same instance, the claim that holds the id
 * counts.
 */
export const listing = (service: ServiceName, text: string) => {
  const list = decodeList(text)
  if (Option.isNone(list)) return undefined
  const { endpoints, skipped } = Entry.partition(list.value.map((item) => entryOf(service, item)))
  const byId = new Map<string, Endpoint>()
  for (const endpoint of endpoints) {
    const other = byId.get(endpoint.id)
    if (other === undefined || outranks(endpoint, other)) byId.set(endpoint.id, endpoint)
  }
  return { endpoints: [...byId.values()], skipped }
}

const entryOf = (service: ServiceName, item: unknown): Entry.Entry => {
  const decoded = decodeHealthy(item)
  if (Result.isFailure(decoded)) return Entry.unreadable(service, nameOf(item), decoded.failure.message)
  const { Node, Service } = decoded.success
  const meta = Service.Meta ?? {}
  const id = instanceId(service, Service.ID)
  const own = id === undefined ? undefined : Attributes.decode(service, id, meta)
  return own ?? foreign(service, Node, Service, meta)
}

const foreign = (
  service: ServiceName,
  node: (typeof Healthy)["Type"]["Node"],
  { Address, ID, Port, Weights }: typeof Service.Type,
  meta: Attributes.Attributes
): Entry.Entry =>
  Entry.fromFields(service, `${node.Node}:${ID}`, {
    ...Attributes.foreign(meta),
    host: Address === undefined || Address === null || Address === "" ? node.Address : Address,
    port: Port,
    weight: Weights?.Passing ?? 1
  })

const nameOf = (item: unknown): string => {
  const inner = Predicate.hasProperty(item, "Service") ? item.Service : undefined
  return Predicate.hasProperty(inner, "ID") ? String(inner.ID) : "?"
}
