import { performance } from "node:perf_hooks"
import { Attempt, Endpoint, Outcome, Roster, Snapshot } from "@muster/core"
import { Effect, Schema } from "effect"
import { createInterface } from "node:readline"

const [name = "", count = "10"] = process.argv.slice(2)
const size = Number(count)

const random = () => Math.random()

const muster = () => {
  const decode = Schema.decodeSync(Endpoint.Endpoint)
  const roster = Roster.make(Effect.runSync(Roster.options), () => {})
  const endpoints = Array.from({ length: size }, (_, n) =>
    decode({ service: "orders", id: `orders-${n}`, host: `10.0.${n >> 8}.${n & 255}`, port: 4000 })
  )
  Roster.apply(roster, Snapshot.make(endpoints), performance.now(), Date.now())
  return (times: number) => {
    for (let n = 0; n < times; n++) {
      const attempt = Attempt.pick(roster, performance.now(), random, true)
      if (attempt === undefined) throw new Error("nobody")
      Attempt.settle(roster, attempt, Outcome.succeeded, performance.now(), random)
      Attempt.end(roster, attempt)
    }
  }
}

const plain = () => {
  const latency = new Float64Array(size)
  const updated = new Float64Array(size)
  const inFlight = new Int32Array(size)
  const tau = 10_000
  return (times: number) => {
    for (let n = 0; n < times; n++) {
      const startedAt = performance.now()
      const first = Math.floor(Math.random() * size)
      let second = Math.floor(Math.random() * (size - 1))
      if (second >= first) second++
      const chosen = latency[second] * (inFlight[second] + 1) < latency[first] * (inFlight[first] + 1) ? second : first
      inFlight[chosen]++
      const now = performance.now()
      const elapsed = now - startedAt
      const kept = Math.exp((updated[chosen] - now) / tau)
      latency[chosen] = Math.max(elapsed, latency[chosen] * kept + elapsed * (1 - kept))
      updated[chosen] = now
      inFlight[chosen]--
    }
  }
}

const run = name === "muster" ? muster() : plain()
run(200_000)
run(2_000_000)
process.stdout.write("ready\n")
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const n = Number(line)
    run(n >> 1)
    const before = process.threadCpuUsage()
    run(n)
    const { user, system } = process.threadCpuUsage(before)
    process.stdout.write(`${((user + system) * 1000) / n}\n`)
  })
  .on("close", () => process.exit(0))
