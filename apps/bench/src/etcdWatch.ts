/**
 * P9: one client that follows 1 000 services of 100 instances in etcd while 1 000 of them change each second.
 *
 * Against the limits, and beside a program that hears the same over as many bare watches and makes nothing of it. The
 * changes are single puts, each a revision of its own; what is used is told for exactly 1 000 of them a second, however
 * many the writer managed.
 */
import { Array, Effect, Fiber, Schedule } from "effect"
import type { Etcd3 } from "etcd3"
import * as EtcdServer from "../../../packages/backends/test/fixtures/EtcdServer.ts"
import * as Child from "./Child.ts"
import { make, quantile } from "./Row.ts"
import * as Stubs from "./stubs.ts"
import * as Usage from "./Usage.ts"

const services = 1000
const instances = 100
const perSecond = 1000
const rounds = 3

export const etcdWatch = Effect.gen(function* () {
  const server = yield* EtcdServer.make()
  const client = yield* Stubs.connect(server.address)
  yield* Effect.forEach(Array.range(0, services - 1), (service) => fill(client, service), { concurrency: 8 })

  const muster = yield* Child.start("etcdWatcher", [server.address, String(services)], ["--expose-gc"])
  yield* muster.hear
  const streams = yield* server.calls({ method: "Watch" })
  const bare = yield* Child.start("etcdBareWatcher", [server.address, String(services)])
  yield* bare.hear

  const churn = yield* Effect.forkScoped(change(client))
  yield* Effect.sleep("5 seconds")
  const windows = yield* Effect.replicateEffect(Usage.during([muster, bare], Effect.sleep("4 seconds")), rounds)
  yield* Fiber.interrupt(churn)
  const alive = yield* Usage.alive(muster)

  const used = (place: number) => {
    const mine = windows.flatMap((window) => window[place] ?? [])
    return {
      core: quantile(
        mine.map(({ core, rate }) => (core * perSecond) / rate),
        0.5
      ),
      megabytes: Math.max(...mine.map(({ megabytes }) => megabytes)),
      sockets: Math.max(...mine.map(({ sockets }) => sockets))
    }
  }
  const one = used(0)
  return [
    row("processor, against a quarter of a core", one.core, "% of a core", 25, 1),
    row("processor, beside bare watches", one.core, "% of a core", used(1).core),
    row("memory alive after a collection, against 200 MB", alive, "MB", 200, 1),
    row("resident memory, beside bare watches", one.megabytes, "MB", used(1).megabytes),
    row("connections", one.sockets, "connections", 1, 1),
    row("streams", streams, "streams", 1, 1)
  ]
}).pipe(Effect.scoped)

const put = (service: number, instance: number, weight: number) => ({
  key: Buffer.from(`muster/service-${service}/i-${instance}`),
  value: Buffer.from(
    JSON.stringify({
      service: `service-${service}`,
      id: `i-${instance}`,
      host: `10.${service >> 8}.${service & 255}.${instance}`,
      port: 4000,
      weight,
      zone: `z${instance % 3}`,
      version: "1.4.2",
      startedAt: 1_790_000_000_000 + instance
    })
  )
})

const fill = (client: Etcd3, service: number) =>
  Effect.promise(() =>
    client.kv.txn({ success: Array.makeBy(instances, (n) => ({ request_put: put(service, n, 1) })) })
  )

/** Every hundredth of a second its share of the changes, all over the services. */
const change = (client: Etcd3) => {
  let n = 0
  const some = Effect.forEach(
    Array.range(1, perSecond / 100),
    () =>
      Effect.promise(() => {
        n++
        return client.kv.put(put((n * 7) % services, (n * 13) % instances, (n % 5) + 2))
      }),
    { concurrency: "unbounded", discard: true }
  )
  return Effect.repeat(Effect.forkChild(some), Schedule.fixed("10 millis"))
}

const row = (what: string, value: number, unit: string, against: number, bar?: number) =>
  make({
    id: "P9",
    case: `etcd: 1 000 services × 100, 1 000 changes a second: ${what}`,
    value,
    unit,
    against,
    ...(bar === undefined ? {} : { bar })
  })
