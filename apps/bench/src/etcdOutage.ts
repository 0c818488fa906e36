/**
 * P5: etcd is killed and comes back after 1, 3 and 10 s: when every watch follows it again, and when every renewal that
 * the outage met is confirmed. Both from the moment at which its health check says that it serves.
 *
 * Against the limits, and beside a Watcher and Leases of etcd3 with their defaults, which meet the same outages.
 */
import * as Etcd from "@muster/backends/Etcd"
import { DiscoveryState, Snapshot } from "@muster/core"
import { ServiceName } from "@muster/core/Endpoint"
import { Discovery, Registrar } from "@muster/runtime"
import { Array, Duration, Effect, Layer, Stream } from "effect"
import * as EtcdServer from "../../../packages/backends/test/fixtures/EtcdServer.ts"
import * as Child from "./Child.ts"
import { make, quantile } from "./Row.ts"
import * as Stubs from "./stubs.ts"

const outages = [1, 3, 10]
const rounds = 3
const services = 5
const instances = 4

/** So long etcd3 has to recover, before it is counted as what it took so far. */
const patience = Duration.seconds(12)

/** Something that an outage interrupts, and that is well again at some moment. */
interface Follower {
  readonly name: "watch" | "lease"
  isWell: boolean
  wellAt: bigint
}

const follower = (name: Follower["name"]): Follower => ({ name, isWell: true, wellAt: 0n })

const well = (follower: Follower, isWell: boolean) => {
  if (isWell && !follower.isWell) follower.wellAt = Child.now()
  follower.isWell = isWell
}

export const etcdOutage = Effect.gen(function* () {
  const server = yield* EtcdServer.make()
  const ours = yield* musters(server.address)
  const theirs = yield* drivers(server.address)

  /** How long after the end of an outage the last of them was well: in milliseconds, and at least one. */
  const round = Effect.fnUntraced(function* (seconds: number) {
    const all = [...ours.followers, ...theirs]
    for (const one of all) one.wellAt = 0n
    yield* server.kill
    yield* Effect.sleep(Duration.seconds(seconds))
    yield* server.start
    const ready = Child.now()
    yield* recovered(all)
    const last = (followers: ReadonlyArray<Follower>, name: Follower["name"]) =>
      Math.max(
        1,
        ...followers
          .filter((one) => one.name === name && (!one.isWell || one.wellAt > 0n))
          .map((one) => Number((one.isWell ? one.wellAt : Child.now()) - ready) / 1e6)
      )
    // Whoever just recovered has something to lose again.
    yield* Effect.sleep("2 seconds")
    return {
      watch: last(ours.followers, "watch"),
      lease: last(ours.followers, "lease"),
      bareWatch: last(theirs, "watch"),
      bareLease: last(theirs, "lease")
    }
  })

  const rows = yield* Effect.forEach(outages, (seconds) =>
    Effect.map(Effect.replicateEffect(round(seconds), rounds), (measured) => {
      const median = (what: keyof (typeof measured)[number]) =>
        quantile(
          measured.map((one) => one[what]),
          0.5
        )
      return [
        row(seconds, "all watches live, against 250 ms", median("watch"), 250, 1),
        row(seconds, "all watches live, beside etcd3's Watcher", median("watch"), median("bareWatch")),
        row(seconds, "all renewals confirmed, against 1 s", median("lease"), 1000, 1),
        row(seconds, "all renewals confirmed, beside etcd3's Leases", median("lease"), median("bareLease"))
      ]
    })
  )
  const removed = make({
    id: "P5",
    case: "etcd back after 1, 3 and 10 s: serving endpoints that were removed on the way",
    value: ours.removed(),
    unit: "endpoints",
    against: 0,
    bar: 0
  })
  return [...rows.flat(), removed]
}).pipe(Effect.scoped)

/** Waits until all of them are well, or no longer than that. */
const recovered = (followers: ReadonlyArray<Follower>) =>
  Effect.repeat(Effect.sleep("5 millis"), { until: () => followers.every(({ isWell }) => isWell) }).pipe(
    Effect.timeoutOption(patience)
  )

const row = (seconds: number, what: string, value: number, against: number, bar?: number) =>
  make({
    id: "P5",
    case: `etcd back after ${seconds} s → ${what}`,
    value,
    unit: "ms",
    against,
    ...(bar === undefined ? {} : { bar })
  })

/** Our own: watches of some services, and the registrations of their instances, renewed at different times. */
const musters = Effect.fnUntraced(function* (address: string) {
  const context = yield* Layer.build(Layer.provideMerge(Discovery.layer, Etcd.layer({ hosts: [address] })))
  const followers: Array<Follower> = []
  let removed = 0
  const names = Array.makeBy(services, (n) => `service-${n}`)
  for (const service of names) {
    for (const n of Array.range(1, instances)) {
      const lease = follower("lease")
      followers.push(lease)
      yield* Registrar.serve(Layer.empty, {
        service,
        id: `i-${n}`,
        advertise: { host: "127.0.0.1", port: 4000 + n }
      }).pipe(
        Layer.build,
        Effect.provide(context),
        Effect.provideService(Registrar.Recorder, (_, { _tag }) => {
          if (_tag === "Renewed" || _tag === "Granted") well(lease, true)
          if (_tag === "RenewFailed" || _tag === "LeaseLost" || _tag === "EntryMissing") well(lease, false)
        })
      )
      yield* Effect.sleep("170 millis")
    }
  }
  const { subscribe } = yield* Effect.provide(Discovery.Discovery, context)
  for (const service of names) {
    const watch = follower("watch")
    followers.push(watch)
    const { changes } = yield* subscribe(ServiceName.make(service))
    yield* changes.pipe(
      Stream.runForEach((state) =>
        Effect.sync(() => {
          well(watch, state._tag === "Live")
          if (DiscoveryState.isKnown(state)) removed = Math.max(removed, instances - Snapshot.size(state.snapshot))
        })
      ),
      Effect.forkScoped
    )
  }
  return { followers, removed: () => removed }
})

/** Those of etcd3 with its defaults. */
const drivers = Effect.fnUntraced(function* (address: string) {
  const client = yield* Stubs.connect(address)
  const watch = follower("watch")
  const watcher = yield* Effect.acquireRelease(
    Effect.promise(() => client.watch().prefix("other/").create()),
    (watcher) => Effect.promise(() => watcher.cancel())
  )
  watcher.on("disconnected", () => well(watch, false))
  watcher.on("connected", () => well(watch, true))
  const leases = yield* Effect.forEach(Array.range(1, services * instances), (n) =>
    Effect.gen(function* () {
      const follows = follower("lease")
      const lease = client.lease(10)
      lease.on("keepaliveSucceeded", () => well(follows, true))
      lease.on("keepaliveFailed", () => well(follows, false))
      lease.on("lost", () => well(follows, false))
      yield* Effect.promise(() => lease.put(`other/${n}`).value("127.0.0.1:4000"))
      return follows
    })
  )
  return [watch, ...leases]
})
