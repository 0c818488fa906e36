/**
 * Picks an instance and finishes the request at once, again and again: `muster` as it is by default, `plain` as little
 * as may be called the power of two choices over a peak EWMA, `moleculer` its list of endpoints in turn, `grpc` the
 * picker of grpc-js for weighted round robin.
 *
 * For each line, a number of requests, it answers how many nanoseconds of a processor one of them took.
 */
import * as Attempt from "@muster/core/Attempt"
import { Endpoint } from "@muster/core/Endpoint"
import * as Outcome from "@muster/core/Outcome"
import * as Roster from "@muster/core/Roster"
import * as Snapshot from "@muster/core/Snapshot"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Predicate from "effect/Predicate"
import { readFileSync } from "node:fs"
import { createRequire, registerHooks } from "node:module"
import { dirname, join } from "node:path"
import { performance } from "node:perf_hooks"
import { createInterface } from "node:readline"
import { pathToFileURL } from "node:url"

type Run = (times: number) => void

const [name = "", endpoints = ""] = process.argv.slice(2)
const size = Number(endpoints)

const random = () => Math.random()

const muster = (): Run => {
  const decode = Schema.decodeSync(Endpoint)
  const roster = Roster.make(Effect.runSync(Roster.options), () => {})
  const all = Array.from({ length: size }, (_, n) =>
    decode({ service: "orders", id: `orders-${n}`, host: `10.0.${n >> 8}.${n & 255}`, port: 4000 })
  )
  Roster.apply(roster, Snapshot.make(all), performance.now(), 0)
  return (times) => {
    for (let n = 0; n < times; n++) {
      const attempt = Attempt.pick(roster, performance.now(), random, true)
      if (attempt === undefined) return
      Attempt.settle(roster, attempt, Outcome.succeeded, performance.now(), random)
      Attempt.end(roster, attempt)
    }
  }
}

const plain = (): Run => {
  const tau = 10_000
  const latency = new Float64Array(size)
  const updatedAt = new Float64Array(size)
  const inFlight = new Int32Array(size)
  return (times) => {
    for (let n = 0; n < times; n++) {
      const startedAt = performance.now()
      const first = Math.floor(random() * size)
      const other = Math.floor(random() * (size - 1))
      const second = other < first ? other : other + 1
      const isCheaper = latency[second] * (inFlight[second] + 1) < latency[first] * (inFlight[first] + 1)
      const chosen = isCheaper ? second : first
      inFlight[chosen]++
      const now = performance.now()
      const elapsed = now - startedAt
      const kept = Math.exp((updatedAt[chosen] - now) / tau)
      latency[chosen] = Math.max(elapsed, latency[chosen] * kept + elapsed * (1 - kept))
      updatedAt[chosen] = now
      inFlight[chosen]--
    }
  }
}

/** What is used here of a list of endpoints; the class is not exported, but the one that a broker picks with. */
interface List {
  readonly endpoints: Array<object>
  readonly next: (context: object) => object
}

type ListClass = new (...parameters: ReadonlyArray<unknown>) => List

const isListClass = (value: unknown): value is ListClass => typeof value === "function"

/** Takes each in turn, as its own strategy does. */
class InTurn {
  turn = 0
  select(list: ReadonlyArray<object>): object | undefined {
    return list[this.turn++ % list.length]
  }
}

const moleculer = (): Run => {
  const require = createRequire(import.meta.url)
  const file = join(dirname(require.resolve("moleculer")), "src/registry/endpoint-list.js")
  const EndpointList: unknown = require(file)
  if (!isListClass(EndpointList)) return () => {}
  const broker = { nodeID: "here" }
  const list = new EndpointList({ broker, opts: { preferLocal: false } }, broker, "orders", "actions", Object, InTurn)
  for (let n = 0; n < size; n++) list.endpoints.push({ isAvailable: true, id: n })
  return (times) => {
    for (let n = 0; n < times; n++) list.next({})
  }
}

/** What is used here of a picker of grpc-js. */
interface Picker {
  readonly pick: (request: object) => object
}

type PickerClass = new (children: ReadonlyArray<object>, hear: null) => Picker

const isPickerClass = (value: unknown): value is PickerClass => typeof value === "function"

const grpc = (): Run => {
  const require = createRequire(import.meta.url)
  const file = require.resolve("@grpc/grpc-js/build/src/load-balancer-weighted-round-robin.js")
  // The class is private to its file.
  registerHooks({
    load: (url, context, next) => {
      const loaded = next(url, context)
      if (url !== pathToFileURL(file).href) return loaded
      const source = `${readFileSync(file, "utf8")}\nexports.Picker = WeightedRoundRobinPicker`
      return { ...loaded, format: "commonjs", source }
    }
  })
  const loaded: unknown = require(file)
  const Picker = Predicate.hasProperty(loaded, "Picker") ? loaded.Picker : undefined
  if (!isPickerClass(Picker)) return () => {}
  const subchannel = { getWrappedSubchannel: () => subchannel }
  const complete = { pickResultType: 0, subchannel, status: null, onCallStarted: null, onCallEnded: null }
  const children = Array.from({ length: size }, (_, n) => ({
    endpointName: `orders-${n}`,
    weight: 1 + (n % 3),
    picker: { pick: () => complete }
  }))
  const picker = new Picker(children, null)
  return (times) => {
    for (let n = 0; n < times; n++) picker.pick({})
  }
}

const contenders: Readonly<Record<string, () => Run>> = { muster, plain, moleculer, grpc }
const run = contenders[name]?.() ?? (() => {})

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const times = Number(line)
    // What ran meanwhile on this processor has emptied its caches.
    run(times / 2)
    const before = process.cpuUsage()
    run(times)
    const { user, system } = process.cpuUsage(before)
    process.stdout.write(`${((user + system) * 1000) / times}\n`)
  })
  .once("close", () => process.exit(0))
