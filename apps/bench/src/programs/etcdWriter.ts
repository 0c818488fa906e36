/**
 * The other process of the latency measurement for etcd: `register <id>` registers an instance, `put <id>` grants a
 * lease and puts the same under it with nothing but the stubs. It answers each with the moment at which it began.
 */
import * as Etcd from "@muster/backends/Etcd"
import { Endpoint, EndpointFromJson } from "@muster/core/Endpoint"
import { Registry } from "@muster/core/Registry"
import { Console, Duration, Effect, Schema } from "effect"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Commands from "../commands.ts"
import * as Stubs from "../stubs.ts"

const [host = ""] = process.argv.slice(2)

const ttl = Duration.minutes(10)

const begun = () => process.stdout.write(`${process.hrtime.bigint()}\n`)

const program = Effect.gen(function* () {
  const registry = yield* Registry
  const { kv, leaseClient } = yield* Stubs.connect(host)

  const register = (endpoint: Endpoint) =>
    Effect.suspend(() => {
      begun()
      return registry.register(endpoint, ttl)
    })

  const put = Effect.fnUntraced(function* (endpoint: Endpoint) {
    const value = yield* Schema.encodeEffect(EndpointFromJson)(endpoint)
    yield* Effect.promise(async () => {
      begun()
      const { ID: lease } = await leaseClient.leaseGrant({ TTL: Duration.toSeconds(ttl) })
      await kv.put({ key: Buffer.from(`bare/orders/${endpoint.id}`), value: Buffer.from(value), lease })
    })
  })

  yield* Console.log("ready")
  yield* Commands.obey(
    Effect.fnUntraced(function* (line) {
      const [command, id] = line.split(" ")
      const endpoint = yield* Schema.decodeUnknownEffect(Endpoint)({
        service: "orders",
        id,
        host: "127.0.0.1",
        port: 4000
      })
      yield* command === "register" ? register(endpoint) : put(endpoint)
    })
  )
})

program.pipe(
  Effect.scoped,
  Effect.provide(Etcd.layer({ hosts: [host] })),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
