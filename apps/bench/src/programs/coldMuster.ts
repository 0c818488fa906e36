/**
 * A client that starts, finds a server in a Local registry, asks it once, says so and ends.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Local from "@muster/backends/Local"
import * as BalancedHttpClient from "@muster/runtime/BalancedHttpClient"
import * as Balancer from "@muster/runtime/Balancer"
import * as Discovery from "@muster/runtime/Discovery"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as References from "effect/References"

const [path = ""] = process.argv.slice(2)

const client = BalancedHttpClient.layer.pipe(
  Layer.provide([NodeHttpClient.layerUndici, Balancer.layer]),
  Layer.provide(Discovery.layer),
  Layer.provide(Local.layer({ path }))
)

const program = Effect.gen(function* () {
  const response = yield* HttpClient.get("http://orders/")
  process.stdout.write(`${yield* response.text}\n`)
})

program.pipe(Effect.provide(client), Effect.provideService(References.MinimumLogLevel, "Error"), NodeRuntime.runMain)
