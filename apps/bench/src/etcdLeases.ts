/**
 * P10: one process that keeps 1 000 instances registered in etcd, at the default time to live of 10 s.
 *
 * Against the limits, and beside as many leases of etcd3, and as many renewed with the typed stubs alone, each in another
 * process over the same time.
 */
import { Effect } from "effect"
import * as EtcdServer from "../../../packages/backends/test/fixtures/EtcdServer.ts"
import * as Child from "./Child.ts"
import { make } from "./Row.ts"
import * as Usage from "./Usage.ts"

const instances = 1000

export const etcdLeases = Effect.gen(function* () {
  const server = yield* EtcdServer.make()
  const streams = server.calls({ method: "LeaseKeepAlive" })
  const muster = yield* Child.start("registrants", ["etcd", server.address, String(instances)])
  yield* muster.hear
  yield* Effect.sleep("7 seconds")
  const own = yield* streams
  const peer = yield* Child.start("etcd3Leases", [server.address, String(instances)])
  yield* peer.hear
  yield* Effect.sleep("7 seconds")
  const others = (yield* streams) - own
  const bare = yield* Child.start("etcdBareLeases", [server.address, String(instances)])
  yield* bare.hear
  yield* Effect.sleep("3 seconds")
  const [one, other, least] = yield* Usage.during([muster, peer, bare], Effect.sleep("20 seconds"))
  if (one === undefined || other === undefined || least === undefined) return []

  return [
    row("processor, against 2 % of a core", one.core, "% of a core", 2, 1),
    row("processor, beside leases of etcd3", one.core, "% of a core", other.core),
    row("processor, beside bare renewals over one stream", one.core, "% of a core", least.core),
    row("renewals a second, beside leases of etcd3", one.rate, "renewals", other.rate),
    row("keepalive streams", own, "streams", 1, 1),
    row("keepalive streams, beside leases of etcd3", own, "streams", others)
  ]
}).pipe(Effect.scoped)

const row = (what: string, value: number, unit: string, against: number, bar?: number) =>
  make({
    id: "P10",
    case: `etcd: 1 000 registrations kept alive: ${what}`,
    value,
    unit,
    against,
    ...(bar === undefined ? {} : { bar })
  })
