/**
 * As many leases renewed over one stream with the typed stubs, a hundredth of a second's share at a time, and nothing
 * made of the answers: `etcdBareLeases <host:port> <instances>`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stubs from "../stubs.ts"
import * as Usage from "../Usage.ts"

const [host = "", instances = ""] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const { leaseClient } = yield* Stubs.connect(host)
  const leases = yield* Effect.forEach(
    Array(Number(instances)).keys(),
    () => Effect.promise(() => leaseClient.leaseGrant({ TTL: 10 })),
    { concurrency: 8 }
  )
  const stream = yield* Effect.acquireRelease(
    Effect.promise(() => leaseClient.leaseKeepAlive()),
    (stream) => Effect.sync(() => stream.cancel())
  )
  let renewed = 0
  stream.on("data", () => void renewed++)
  let next = 0
  const renew = Effect.sync(() => {
    for (let n = 0; n < (Number(instances) * 3) / 1000; n++) {
      const lease = leases[next++ % leases.length]
      if (lease !== undefined) stream.write({ ID: lease.ID })
    }
  })
  yield* Effect.forkScoped(Effect.repeat(renew, Schedule.fixed("10 millis")))
  process.stdout.write("ready\n")
  yield* Usage.report(() => renewed)
})

program.pipe(Effect.scoped, Effect.provide(NodeServices.layer), NodeRuntime.runMain)
