/**
 * The other process of the latency measurement for Consul and Nacos: registers an instance for each line, its id, and
 * answers with the moment at which it began: `registryWriter <registry> <host:port>`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Commands from "../commands.ts"
import { Endpoint } from "@muster/core/Endpoint"
import { Registry } from "@muster/core/Registry"
import { Console, Duration, Effect, Schema } from "effect"
import * as Registries from "../registries.ts"

const [name = "", address = ""] = process.argv.slice(2)

/** An address of its own each: Nacos knows an instance by that. */
let given = 4000

const program = Effect.gen(function* () {
  const registry = yield* Registry
  yield* Console.log("ready")
  yield* Commands.obey(
    Effect.fnUntraced(function* (id) {
      const fields = { service: "orders", id, host: "127.0.0.1", port: given++ }
      const endpoint = yield* Schema.decodeUnknownEffect(Endpoint)(fields)
      process.stdout.write(`${process.hrtime.bigint()}\n`)
      yield* registry.register(endpoint, Duration.minutes(10))
    })
  )
})

program.pipe(
  Effect.scoped,
  Effect.provide(Registries.layer(name, address)),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
