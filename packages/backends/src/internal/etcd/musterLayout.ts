/**
 * Muster's own layout: `<prefix>/<service>/<instance>` holds the endpoint as JSON, and says all that there is to say.
 *
 * Anything else below the prefix is skipped with its key and its problem: foreign text, bytes that are no UTF-8, an
 * entry that describes another instance, one larger than `Policy.EntrySize`, a key with more segments.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { isUtf8 } from "node:buffer"
import type { Delta, Skipped } from "@muster/core/Change"
import { type Endpoint, EndpointFromJson, InstanceId, type ServiceName } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import { Unreadable } from "@muster/core/RegistryError"
import type { IEvent, IKeyValue } from "etcd3"
import * as Entry from "../entry.ts"
import type { Layout } from "./layout.ts"

const isInstanceId = Schema.is(InstanceId)
const encode = Schema.encodeSync(EndpointFromJson)

export const make = Effect.fnUntraced(function* (prefix: string): Effect.fn.Return<Layout> {
  const entrySize = yield* Policy.EntrySize
  const folder = (service: ServiceName) => `${prefix}/${service}/`
  const idOf = (service: ServiceName, { key }: Pick<IKeyValue, "key">) => key.toString().slice(folder(service).length)

  /** What is wrong with an entry of this size. */
  const excess = (bytes: number) => (bytes > entrySize ? `${bytes} bytes are too many for an entry` : undefined)

  const value = (endpoint: Endpoint): ReturnType<Layout["value"]> => {
    const text = encode(endpoint)
    const message = excess(Buffer.byteLength(text))
    return message === undefined ? Result.succeed(text) : Result.fail(new Unreadable({ message }))
  }

  const read = (service: ServiceName, { key, value }: IKeyValue): Entry.Entry => {
    const id = idOf(service, { key })
    const known = isInstanceId(id) ? { id } : {}
    const problem = (problem: string) => ({ key: key.toString(), ...known, problem })
    const tooLarge = excess(value.length)
    if (tooLarge !== undefined) return problem(tooLarge)
    if (!isUtf8(value)) return problem("it is not UTF-8 text")
    const entry = Entry.decode(service, id, value.toString())
    return Entry.isEndpoint(entry) ? entry : problem(entry.problem)
  }

  const changed = (service: ServiceName, events: ReadonlyArray<IEvent>) => {
    const deltas: Array<Delta> = []
    const skipped: Array<Skipped> = []
    for (const { kv, type } of events) {
      const id = idOf(service, kv)
      const entry = type === "Put" ? read(service, kv) : undefined
      if (entry === undefined) {
        if (isInstanceId(id)) deltas.push({ _tag: "Removed", id })
      } else if (Entry.isEndpoint(entry)) deltas.push({ _tag: "Put", endpoint: entry })
      else skipped.push(entry)
    }
    return { deltas, skipped }
  }

  return {
    folder,
    key: ({ service, id }) => folder(service) + id,
    value,
    claim: (service, entry) => {
      const claimed = read(service, entry)
      return Entry.isEndpoint(claimed) ? claimed : undefined
    },
    reader: (service) => ({
      reset: (entries) => Entry.partition(entries.map((entry) => read(service, entry))),
      changed: (events) => changed(service, events)
    }),
    remembers: false,
    ownsLease: true
  }
})
