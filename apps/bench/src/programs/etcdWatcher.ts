/**
 * A client that follows so many services in etcd: `etcdWatcher <host:port> <services>`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Etcd from "@muster/backends/Etcd"
import { ServiceName } from "@muster/core/Endpoint"
import * as Discovery from "@muster/runtime/Discovery"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Stream from "effect/Stream"
import * as Usage from "../Usage.ts"

const [host = "", services = ""] = process.argv.slice(2)

let heard = 0
const counting = Layer.succeed(Discovery.Recorder, (_, event) => {
  if (event._tag === "Changed") heard++
})

const program = Effect.gen(function* () {
  const discovery = yield* Discovery.Discovery
  const all = yield* Effect.forEach(
    Array.from({ length: Number(services) }, (_, n) => `service-${n}`),
    (name) => discovery.subscribe(ServiceName.make(name))
  )
  for (const { changes } of all) yield* Stream.runDrain(Stream.takeUntil(changes, ({ _tag }) => _tag === "Live"))
  process.stdout.write("ready\n")
  yield* Usage.report(() => heard)
})

program.pipe(
  Effect.scoped,
  Effect.provide(Discovery.layer),
  Effect.provide(Layer.mergeAll(Etcd.layer({ hosts: [host] }), counting)),
  Effect.provide(NodeServices.layer),
  Effect.provideService(References.MinimumLogLevel, "Error"),
  NodeRuntime.runMain
)
