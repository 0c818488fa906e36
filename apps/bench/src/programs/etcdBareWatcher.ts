/**
 * The same services watched over one stream with the typed stubs, and nothing made of what they tell:
 * `etcdBareWatcher <host:port> <services>`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Stubs from "../stubs.ts"
import * as Usage from "../Usage.ts"

const [host = "", services = ""] = process.argv.slice(2)

const program = Effect.gen(function* () {
  let heard = 0
  const requests = Array.from({ length: Number(services) }, (_, n) => ({
    key: Buffer.from(`muster/service-${n}/`),
    range_end: Buffer.from(`muster/service-${n}0`)
  }))
  yield* Stubs.watch(yield* Stubs.connect(host), requests, (events) => (heard += events.length))
  process.stdout.write("ready\n")
  yield* Usage.report(() => heard)
})

program.pipe(Effect.scoped, Effect.provide(NodeServices.layer), NodeRuntime.runMain)
