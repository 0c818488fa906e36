/**
 * The same with the leases of etcd3, which renew themselves: `etcd3Leases <host:port> <instances>`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Stubs from "../stubs.ts"
import * as Usage from "../Usage.ts"

const [host = "", instances = ""] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const client = yield* Stubs.connect(host)
  let renewed = 0
  yield* Effect.forEach(
    Array(Number(instances)).keys(),
    (n) => {
      const lease = client.lease(10)
      lease.on("keepaliveSucceeded", () => void renewed++)
      const value = JSON.stringify({ service: "payments", id: `i-${n}`, host: "127.0.0.1", port: 4000 + n })
      return Effect.promise(() => lease.put(`muster/payments/i-${n}`).value(value))
    },
    { concurrency: 8, discard: true }
  )
  process.stdout.write("ready\n")
  yield* Usage.report(() => renewed)
})

program.pipe(Effect.scoped, Effect.provide(NodeServices.layer), NodeRuntime.runMain)
