/**
 * A process that keeps so many instances registered: `registrants <registry> <host:port> <instances>`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Registrar from "@muster/runtime/Registrar"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Registries from "../registries.ts"
import * as Usage from "../Usage.ts"

const [name = "", address = "", instances = ""] = process.argv.slice(2)

let renewed = 0

const registrar = (n: number) =>
  Registrar.serve(Layer.empty, {
    service: "orders",
    id: `i-${n}`,
    advertise: { host: "127.0.0.1", port: 4000 + n }
  }).pipe(Layer.build, Effect.map(Context.get(Registrar.Registrar)))

const program = Effect.gen(function* () {
  const all = yield* Effect.forEach(Array(Number(instances)).keys(), registrar)
  for (const { registered } of all) yield* registered
  process.stdout.write("ready\n")
  yield* Usage.report(() => renewed)
})

program.pipe(
  Effect.scoped,
  Effect.provide(Registries.layer(name, address)),
  Effect.provideService(Registrar.Recorder, (_, event) => {
    if (event._tag === "Renewed") renewed++
  }),
  Effect.provide(NodeServices.layer),
  Effect.provideService(References.MinimumLogLevel, "Error"),
  NodeRuntime.runMain
)
