/**
 * Layouts of others, which know an instance by its address alone: go-zero's `<key>/<lease>` with `host:port`, and that
 * of etcd's own gRPC naming, `<service>/<host:port>` with `{"Op":0,"Addr":"host:port","Metadata":…}`.
 *
 * The instance id is the address, so entries of one address are one instance, there until the last of them goes. What
 * these cannot say has its default: weight 1, start time unknown, no zone, no version; go-zero knows no metadata either.
 * They cannot say draining: a draining instance is taken out instead, so the order is withdraw, wait, close. Neither of
 * them writes a key with more segments: one that has them is another service's, whose name begins with that of this one.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Delta, Skipped } from "@muster/core/Change"
import { Endpoint, type InstanceId, same, type ServiceName } from "@muster/core/Endpoint"
import type { IEvent, IKeyValue } from "etcd3"
import type { Layout, Reader } from "./layout.ts"

interface Said {
  readonly address: string
  readonly metadata: Endpoint["metadata"]
}

/** How a layout writes an address into a value, and what it calls the entry. */
interface Dialect {
  readonly name: (endpoint: Endpoint, lease: string) => string
  readonly write: (endpoint: Endpoint) => string
  /** Whether it calls entries by their addresses, as a rule. */
  readonly namesAddresses: boolean
  readonly read: (text: string) => Result.Result<Said, { readonly message: string }>
}

const Update = Schema.Struct({ Addr: Schema.String, Metadata: Schema.optionalKey(Schema.Unknown) })
const readUpdate = Schema.decodeResult(Schema.fromJsonString(Update))
const isMetadata = Schema.is(Schema.Record(Schema.String, Schema.String))
const readEndpoint = Schema.decodeUnknownResult(Endpoint)

/** go-zero's layout; `id` is its `Etcd.ID`, which stands in place of the lease. */
export const goZero = (folder: Layout["folder"], id?: number): Layout =>
  make(folder, {
    name: (_, lease) => (id === undefined || id <= 0 ? lease : String(id)),
    namesAddresses: false,
    write: ({ address }) => address,
    read: (text) => Result.succeed({ address: text, metadata: {} })
  })

/** The layout of etcd's gRPC naming package. */
export const grpc = (folder: Layout["folder"]): Layout =>
  make(folder, {
    name: ({ address }) => address,
    namesAddresses: true,
    write: ({ address, metadata }) =>
      JSON.stringify({ Op: 0, Addr: address, Metadata: Object.keys(metadata).length === 0 ? null : metadata }),
    read: (text) =>
      Result.map(readUpdate(text), ({ Addr, Metadata }) => ({
        address: Addr,
        metadata: isMetadata(Metadata) ? Metadata : {}
      }))
  })

const endpointAt = (service: ServiceName, { address, metadata }: Said) => {
  const [, host = address, port = ""] = /^\[?(.*?)\]?:(\d+)$/.exec(address) ?? []
  return readEndpoint({ service, id: address, host, port: Number(port), metadata })
}

const make = (folder: Layout["folder"], { name, namesAddresses, read, write }: Dialect): Layout => {
  const decode = (service: ServiceName, entry: IKeyValue): Endpoint | Skipped => {
    const key = entry.key.toString()
    const last = key.slice(folder(service).length)
    if (last.includes("/")) return { key, problem: "it belongs to a deeper key" }
    const result = Result.flatMap(read(entry.value.toString()), (said) => endpointAt(service, said))
    if (Result.isSuccess(result)) return result.success
    const problem = result.failure.message.replaceAll(/\s+/g, " ").slice(0, 300)
    const named = namesAddresses ? endpointAt(service, { address: last, metadata: {} }) : undefined
    return named !== undefined && Result.isSuccess(named) ? { key, id: named.success.id, problem } : { key, problem }
  }
  return {
    folder,
    key: (endpoint, lease) => folder(endpoint.service) + name(endpoint, lease),
    value: (endpoint) => Result.succeed(endpoint.draining ? undefined : write(endpoint)),
    claim: (service, entry) => {
      const claimed = decode(service, entry)
      return "problem" in claimed ? undefined : claimed
    },
    reader: (service) => reader((entry) => decode(service, entry)),
    remembers: true,
    ownsLease: false
  }
}

/**
 * Remembers which entries speak of which address, because a deletion names its key only. A spoilt entry goes on to speak
 * of the instance that it spoke of before.
 */
const reader = (decode: (entry: IKeyValue) => Endpoint | Skipped): Reader => {
  const byKey = new Map<string, InstanceId>()
  /** What each of its entries says; `undefined` where that could not be read. */
  const byId = new Map<InstanceId, Map<string, Endpoint | undefined>>()

  const forget = (key: string) => {
    const id = byKey.get(key)
    if (id === undefined) return
    byKey.delete(key)
    const entries = byId.get(id)
    entries?.delete(key)
    if (entries?.size === 0) byId.delete(id)
  }
  const learn = (key: string, id: InstanceId, endpoint?: Endpoint) => {
    forget(key)
    byKey.set(key, id)
    byId.set(id, (byId.get(id) ?? new Map<string, Endpoint | undefined>()).set(key, endpoint))
  }
  /** What the entry says of it that has spoken of it for longest. */
  const current = (id: InstanceId): Endpoint | undefined => {
    for (const endpoint of byId.get(id)?.values() ?? []) if (endpoint !== undefined) return endpoint
    return undefined
  }

  const reset = (entries: ReadonlyArray<IKeyValue>) => {
    const skipped: Array<Skipped> = []
    const before = new Map(byKey)
    byKey.clear()
    byId.clear()
    for (const entry of entries) {
      const key = entry.key.toString()
      const read = decode(entry)
      if ("problem" in read) skipped.push(spoilt(key, read, before.get(key)))
      else learn(key, read.id, read)
    }
    return { endpoints: [...byId.keys()].flatMap((id) => current(id) ?? []), skipped }
  }

  const spoilt = (key: string, read: Skipped, before: InstanceId | undefined): Skipped => {
    const id = before ?? read.id
    if (id === undefined) return read
    if (!byKey.has(key)) learn(key, id)
    return { ...read, id }
  }

  const changed = (events: ReadonlyArray<IEvent>) => {
    const before = new Map<InstanceId, { readonly existed: boolean; readonly was: Endpoint | undefined }>()
    const skipped: Array<Skipped> = []
    const touch = (id: InstanceId | undefined) => {
      if (id !== undefined && !before.has(id)) before.set(id, { existed: byId.has(id), was: current(id) })
    }
    for (const { kv, type } of events) {
      const key = kv.key.toString()
      const known = byKey.get(key)
      const read = type === "Put" ? decode(kv) : undefined
      if (read !== undefined && "problem" in read) {
        skipped.push(spoilt(key, read, known))
        continue
      }
      touch(known)
      touch(read?.id)
      if (read === undefined) forget(key)
      else learn(key, read.id, read)
    }
    const deltas = [...before].flatMap(([id, { existed, was }]): ReadonlyArray<Delta> => {
      if (!byId.has(id)) return existed ? [{ _tag: "Removed", id }] : []
      const is = current(id)
      return is === undefined || (was !== undefined && same(was, is)) ? [] : [{ _tag: "Put", endpoint: is }]
    })
    return { deltas, skipped }
  }

  return { reset, changed }
}
