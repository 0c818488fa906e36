/**
 * What an operator asks of etcd, past the clients under test and past their driver: its JSON gateway, one member at a
 * time, with a deadline.
 */
import { Effect, Schema } from "effect"
import { Endpoint } from "@muster/core"
import { service } from "./Fleet.ts"
import { line } from "./Witness.ts"

const base64 = (text: string) => Buffer.from(text).toString("base64")
const prefix = `muster/${service}/`

const ask = <S extends Schema.Codec<unknown, unknown>>(host: string, path: string, body: unknown, answer: S) =>
  Effect.tryPromise(async (signal) => {
    const response = await fetch(`http://${host}/v3/${path}`, {
      method: "POST",
      body: JSON.stringify(body),
      signal: AbortSignal.any([signal, AbortSignal.timeout(1_000)])
    })
    return response.json()
  }).pipe(Effect.flatMap(Schema.decodeUnknownEffect(answer)))

/** The first member that answers. */
const any = <A, E>(hosts: ReadonlyArray<string>, f: (host: string) => Effect.Effect<A, E>) =>
  Effect.firstSuccessOf(hosts.map(f))

const Header = Schema.Struct({ revision: Schema.String, member_id: Schema.String })

/** Whether this member leads its cluster. */
export const leads = (host: string) =>
  ask(host, "maintenance/status", {}, Schema.Struct({ header: Header, leader: Schema.String })).pipe(
    Effect.map(({ header, leader }) => header.member_id === leader),
    Effect.orElseSucceed(() => false)
  )

const range = { key: base64(prefix), range_end: base64(`${prefix.slice(0, -1)}0`) }
const Keys = Schema.Struct({ kvs: Schema.optionalKey(Schema.Array(Schema.Struct({ key: Schema.String }))) })
const Written = Schema.Struct({ header: Header })

/** Writes an entry once more as it is, twice, and forgets everything before: whoever did not hear of it cannot go on. */
export const compact = Effect.fnUntraced(function* (hosts: ReadonlyArray<string>) {
  const { kvs = [] } = yield* any(hosts, (host) => ask(host, "kv/range", { ...range, limit: 1, keys_only: true }, Keys))
  const again = { key: kvs[0]?.key, ignore_value: true, ignore_lease: true }
  const write = any(hosts, (host) => ask(host, "kv/put", again, Written))
  const { header } = yield* Effect.andThen(write, write)
  yield* any(hosts, (host) =>
    ask(host, "kv/compaction", { revision: header.revision, physical: true }, Schema.Struct({ header: Schema.Unknown }))
  )
})

/** The listing: as lines to compare, and the revisions with which the entries were written. */
export const listing = (hosts: ReadonlyArray<string>) =>
  any(hosts, (host) =>
    ask(host, "kv/range", range, Schema.Struct({ kvs: Schema.optionalKey(Schema.Array(Entry)) }))
  ).pipe(
    Effect.flatMap(({ kvs = [] }) =>
      Effect.map(
        Effect.forEach(kvs, ({ value }) => Schema.decodeEffect(Endpoint.EndpointFromJson)(value)),
        (endpoints) => ({
          lines: endpoints.map(line).toSorted(),
          revisions: kvs.map(({ mod_revision }) => Number(mod_revision))
        })
      )
    )
  )

const Entry = Schema.Struct({ value: Schema.StringFromBase64, mod_revision: Schema.String })

/** Leases that live, and watches that are open. */
export const leftOver = Effect.fnUntraced(function* (hosts: ReadonlyArray<string>) {
  const { leases = [] } = yield* any(hosts, (host) =>
    ask(host, "lease/leases", {}, Schema.Struct({ leases: Schema.optionalKey(Schema.Array(Schema.Unknown)) }))
  )
  const found = leases.length > 0 ? [`${leases.length} leases were left over`] : []
  for (const host of hosts) {
    const metrics = yield* Effect.tryPromise(async () => (await fetch(`http://${host}/metrics`)).text())
    const watches = Number(/^etcd_debugging_mvcc_watcher_total (\S+)$/m.exec(metrics)?.[1])
    if (watches !== 0) found.push(`${watches} watches were left over on ${host}`)
  }
  return found
})
