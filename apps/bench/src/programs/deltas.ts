/**
 * Folds bursts of deltas, each with a list that can be read afterwards: `muster` into a snapshot, `plain` into a `Map`
 * that is copied to an array after each burst.
 *
 * For each line, a number of bursts, it answers how many nanoseconds of its processor one delta took; at first how many
 * bytes one endpoint takes besides itself.
 */
import type { Delta } from "@muster/core/Change"
import { Endpoint, InstanceId } from "@muster/core/Endpoint"
import * as Snapshot from "@muster/core/Snapshot"
import * as Schema from "effect/Schema"
import { createInterface } from "node:readline"

const endpoints = 10_000
const burst = 100

const [name = ""] = process.argv.slice(2)

const used = () => {
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

const decode = Schema.decodeSync(Endpoint)

const endpoint = (n: number, port: number) =>
  decode({ service: "orders", id: `orders-${n}`, host: `10.0.${n >> 8}.${n & 255}`, port })

/** Half of the deltas take an instance away, the others bring it back, elsewhere. */
const deltas = Array.from({ length: endpoints }, (_, n): ReadonlyArray<Delta> => [
  { _tag: "Removed", id: InstanceId.make(`orders-${(n * 7919) % endpoints}`) },
  { _tag: "Put", endpoint: endpoint((n * 7919) % endpoints, 5000) }
]).flat()
const bursts = Array.from({ length: deltas.length / burst }, (_, n) => deltas.slice(n * burst, (n + 1) * burst))

const before = used()
const first = Array.from({ length: endpoints }, (_, n) => endpoint(n, 4000))
let snapshot = Snapshot.make(name === "muster" ? first : [])
const bytes = used() - before
const map = new Map(name === "muster" ? [] : first.map((one) => [one.id, one] as const))
let list: ReadonlyArray<Endpoint> = []
let next = 0

const muster = (deltas: ReadonlyArray<Delta>) => {
  snapshot = Snapshot.apply(snapshot, deltas)
}

const plain = (deltas: ReadonlyArray<Delta>) => {
  for (const delta of deltas) {
    if (delta._tag === "Put") map.set(delta.endpoint.id, delta.endpoint)
    else map.delete(delta.id)
  }
  list = Array.from(map.values())
}

const fold = name === "muster" ? muster : plain

process.stdout.write(`${bytes / endpoints}\n`)
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const times = Number(line)
    const before = process.cpuUsage()
    for (let n = 0; n < times; n++) fold(bursts[next++ % bursts.length] ?? [])
    const { user, system } = process.cpuUsage(before)
    process.stdout.write(`${((user + system) * 1000) / times / burst}\n`)
  })
  .once("close", () => process.exit(list.length + Snapshot.size(snapshot) > 0 ? 0 : 1))
