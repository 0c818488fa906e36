/**
 * The same client without Muster: it is told the address. What else the other one loads is loaded by `--import`.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"

const [url = ""] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const response = yield* HttpClient.get(url)
  process.stdout.write(`${yield* response.text}\n`)
})

program.pipe(Effect.provide(NodeHttpClient.layerUndici), NodeRuntime.runMain)
