/**
 * An endpoint as the attributes that Consul and Nacos keep beside an address: a map of short texts.
 *
 * The attribute `muster` holds the entry as every writable registry stores it, in pieces of at most 512 characters of
 * ASCII (`muster`, `muster-1`, …), because Consul takes no longer ones. The metadata of the endpoint are attributes of
 * their own where the registry takes them, so that its own tools can show, filter and change them; the others stay in
 * the entry. What has no attribute `muster` was registered by somebody else.
 */
import { Endpoint } from "@muster/core/Endpoint"
import * as Entry from "./entry.ts"

/** Short texts by name. */
export type Attributes = Readonly<Record<string, string>>

const name = "muster"
const longest = 512
/** Consul takes 64 attributes; half of them are left to the pieces of the entry. */
const most = 32
const isReserved = (key: string) => /^muster(-\d+)?$/.test(key)
const pieceName = (n: number) => (n === 0 ? name : `${name}-${n}`)

/** The attributes of an endpoint; `fits` says which metadata the registry takes as attributes of their own. */
export const encode = (endpoint: Endpoint, fits: (key: string, value: string) => boolean): Attributes => {
  const all = Object.entries(endpoint.metadata)
  const own = all.filter(([key, value]) => !isReserved(key) && fits(key, value)).slice(0, most)
  const metadata = Object.fromEntries(all.filter((pair) => !own.includes(pair)))
  const text = ascii(Entry.encode(new Endpoint({ ...endpoint, metadata })))
  const pieces = Array.from(
    { length: Math.ceil(text.length / longest) },
    (_, n) => [pieceName(n), text.slice(n * longest, (n + 1) * longest)] as const
  )
  return Object.fromEntries([...own, ...pieces])
}

/** The entry in the attributes; `undefined` where somebody else wrote them. */
export const decode = (service: string, id: string, attributes: Attributes): Entry.Entry | undefined => {
  if (attributes[name] === undefined) return undefined
  let text = ""
  for (let n = 0; attributes[pieceName(n)] !== undefined; n++) text += attributes[pieceName(n)]
  const entry = Entry.decode(service, id, text)
  if (!Entry.isEndpoint(entry)) return entry
  return new Endpoint({ ...entry, metadata: { ...metadata(attributes), ...entry.metadata } })
}

/** The fields that somebody else's attributes tell: `zone` and `version`, and the metadata. */
export const foreign = (attributes: Attributes) => {
  const { version, zone, ...others } = metadata(attributes)
  return {
    ...(zone === undefined || zone === "" ? {} : { zone }),
    ...(version === undefined || version === "" ? {} : { version }),
    metadata: others
  }
}

const metadata = (attributes: Attributes): Attributes =>
  Object.fromEntries(Object.entries(attributes).filter(([key]) => !isReserved(key)))

/** JSON that is as many bytes as characters. */
const ascii = (json: string) =>
  json.replaceAll(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
