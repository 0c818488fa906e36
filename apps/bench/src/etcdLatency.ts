/**
 * P4 for etcd: from the registration in one process until a client in another one may pick the instance.
 *
 * Against what etcd and its driver can do at all: a lease granted and a key put with the typed stubs until a watch with
 * the typed stubs tells the other process. Both in turn, each when the other one was seen.
 */
import * as Etcd from "@muster/backends/Etcd"
import { Discovery } from "@muster/runtime"
import { Effect } from "effect"
import * as EtcdServer from "../../../packages/backends/test/fixtures/EtcdServer.ts"
import * as Child from "./Child.ts"
import { make, quantile } from "./Row.ts"
import { pickable, type Seen, timed } from "./seen.ts"
import * as Stubs from "./stubs.ts"

const rounds = 500
const warmUps = 100

export const etcdLatency = Effect.gen(function* () {
  const { address } = yield* EtcdServer.make()
  const writer = yield* Child.start("etcdWriter", [address])
  yield* writer.hear

  const times: Array<number> = []
  const bareTimes: Array<number> = []
  const event = yield* nextEvent(address)
  yield* Effect.gen(function* () {
    const instance = yield* pickable
    for (let round = -warmUps; round < rounds; round++) {
      const id = `i${round + warmUps}`
      const bareTime = yield* timed(writer, `put ${id}`, event)
      const time = yield* timed(writer, `register ${id}`, instance(id))
      if (round < 0) continue
      bareTimes.push(bareTime)
      times.push(time)
    }
  }).pipe(Effect.provide(Discovery.layer), Effect.provide(Etcd.layer({ hosts: [address] })))

  const row = (name: string, q: number, bar: number) =>
    make({
      id: "P4",
      case: `etcd: registered → pickable in another process, ${name}, against bare grant + put → watch event`,
      value: quantile(times, q),
      against: quantile(bareTimes, q),
      unit: "ms",
      bar
    })
  return [row("p50", 0.5, 1.15), row("p99", 0.99, 1.5)]
}).pipe(Effect.scoped)

/** The next put below the bare prefix, as a watch tells of it. */
const nextEvent = Effect.fnUntraced(function* (address: string) {
  const client = yield* Stubs.connect(address)
  let wake: ((at: bigint) => void) | undefined
  const range = { key: Buffer.from("bare/"), range_end: Buffer.from("bare0") }
  yield* Stubs.watch(client, [range], () => wake?.(Child.now()))
  const seen: Seen = Effect.callback<bigint>((resume) => {
    wake = (at) => resume(Effect.succeed(at))
  })
  return seen
})
