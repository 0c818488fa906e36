/**
 * The other process of the latency measurement: `register <id>` puts an instance into the registry, `commit` writes one
 * row to a bare file of the same kind. It answers each with the moment at which it began.
 */
import * as Local from "@muster/backends/Local"
import { Endpoint } from "@muster/core/Endpoint"
import { Registry } from "@muster/core/Registry"
import { Console, Duration, Effect, Schema } from "effect"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { DatabaseSync } from "node:sqlite"
import * as Commands from "../commands.ts"

const [registryFile = "", bareFile = ""] = process.argv.slice(2)

const begun = () => process.stdout.write(`${process.hrtime.bigint()}\n`)

const program = Effect.gen(function* () {
  const registry = yield* Registry
  const bare = new DatabaseSync(bareFile)
  bare.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE rows (value TEXT NOT NULL)")
  const insert = bare.prepare("INSERT INTO rows VALUES ('a row of about the size of a small endpoint')")

  const register = Effect.fnUntraced(function* (id: string) {
    const endpoint = yield* Schema.decodeEffect(Endpoint)({ service: "orders", id, host: "127.0.0.1", port: 4000 })
    begun()
    yield* registry.register(endpoint, Duration.minutes(10))
  })

  yield* Console.log("ready")
  yield* Commands.obey((line) => {
    const [command, id = ""] = line.split(" ")
    if (command === "register") return register(id)
    return Effect.sync(() => {
      begun()
      insert.run()
    })
  })
})

program.pipe(
  Effect.provide(Local.layer({ path: registryFile })),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
