/**
 * What a client without Muster knows of the servers: what etcd says is registered, followed by etcd3's own Watcher with
 * its defaults, as its documentation shows. One that says that it is draining counts as gone, so that nobody meets a
 * server that is closing; what etcd deletes is gone as well, be it only that its lease ran out while etcd stood still.
 */
import { Endpoint } from "@muster/core/Endpoint"
import { Effect, Schema } from "effect"
import * as Stubs from "../stubs.ts"

const parse = Schema.decodeSync(Schema.fromJsonString(Endpoint))

/** Tells `heed` who is there now, and whenever that changes, until the scope closes. */
export const follow = Effect.fnUntraced(function* (
  etcd: string,
  service: string,
  heed: (there: ReadonlyArray<Endpoint>) => void
) {
  const folder = `muster/${service}/`
  const there = new Map<string, Endpoint>()
  const put = (key: string, value: string) => {
    const endpoint = parse(value)
    if (endpoint.draining) there.delete(key)
    else there.set(key, endpoint)
  }
  const tell = () => heed([...there.values()])
  const client = yield* Stubs.connect(etcd)
  const watcher = yield* Effect.acquireRelease(
    Effect.promise(() => client.watch().prefix(folder).create()),
    (watcher) => Effect.promise(() => watcher.cancel())
  )
  watcher.on("put", ({ key, value }) => {
    put(key.toString(), value.toString())
    tell()
  })
  watcher.on("delete", ({ key }) => {
    there.delete(key.toString())
    tell()
  })
  // It reconnects by itself; what it gives up on leaves the client with what it knows.
  watcher.on("error", () => undefined)
  const found = yield* Effect.promise(() => client.getAll().prefix(folder).strings())
  for (const [key, value] of Object.entries(found)) put(key, value)
  tell()
})
