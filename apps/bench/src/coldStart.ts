/**
 * P6: from the start of a process to its first answered request, finding the server in a Local registry.
 *
 * Against a program that loads every module of others which that client loads, but nothing of Muster's, and is told
 * the address. And which drivers of other registries the client loads: none.
 */
import * as Local from "@muster/backends/Local"
import { Endpoint } from "@muster/core/Endpoint"
import { Registry } from "@muster/core/Registry"
import { Duration, Effect, FileSystem, Schema } from "effect"
import { createServer, type Server } from "node:http"
import { fileURLToPath } from "node:url"
import * as Child from "./Child.ts"
import { make, quantile } from "./Row.ts"

const rounds = 15

const root = new URL("../../../packages/", import.meta.url).href

/** What a client of Local may load of the back ends: itself, and what all of them share. */
const own = /\/backends\/dist\/(Local\.js|internal\/local\/.*|internal\/[^/]+\.js)$/

/** What it may not load: the rest of them, and packages that only those need. */
const foreign = /\/backends\/(dist|src)\/|\/node_modules\/(etcd3|cockatiel|@grpc|@kubernetes)\//

export const coldStart = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "muster-bench-" })
  const path = `${folder}/orders.db`
  const port = yield* listening
  yield* Effect.provide(register(port), Local.layer({ path }))

  const loaded = yield* modulesOf("coldMuster", path)
  const others = loaded.filter((url) => !url.startsWith(root) && !url.includes("/apps/bench/"))
  const imports = `${folder}/imports.mjs`
  yield* fs.writeFileString(imports, others.map((url) => `import ${JSON.stringify(url)}`).join("\n"))

  const times: Array<number> = []
  const plainTimes: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    plainTimes.push(yield* firstAnswer("coldPlain", `http://127.0.0.1:${port}/`, ["--import", imports]))
    times.push(yield* firstAnswer("coldMuster", path))
  }
  const drivers = loaded.filter((url) => foreign.test(url) && !own.test(url))
  return [
    make({
      id: "P6",
      case: "Local: process start → first answer, median, against the same imports without Muster",
      value: quantile(times, 0.5),
      against: quantile(plainTimes, 0.5),
      unit: "ms",
      bar: 1.25
    }),
    make({
      id: "P6",
      case: "Local: modules of other drivers that a client loads",
      value: drivers.length,
      against: 0,
      unit: "modules",
      bar: 0
    })
  ]
}).pipe(Effect.scoped)

/** A server that answers everything at once. */
const listening = Effect.acquireRelease(
  Effect.callback<Server>((resume) => {
    const server = createServer((_, response) => response.end("answered"))
    server.listen({ host: "127.0.0.1", port: 0 }, () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
).pipe(
  Effect.map((server) => {
    const address = server.address()
    return typeof address === "object" ? (address?.port ?? 0) : 0
  })
)

const register = Effect.fnUntraced(function* (port: number) {
  const registry = yield* Registry
  const endpoint = yield* Schema.decodeEffect(Endpoint)({ service: "orders", id: "a", host: "127.0.0.1", port })
  yield* registry.register(endpoint, Duration.minutes(10))
})

/** From the start of a program until it says something, in milliseconds. */
const firstAnswer = (name: string, argument: string, flags: ReadonlyArray<string> = []) =>
  Effect.gen(function* () {
    const started = Child.now()
    const program = yield* Child.start(name, [argument], flags)
    yield* program.hear
    return Child.millisecondsSince(started)
  }).pipe(Effect.scoped)

/** The modules that a program loads until it ends. */
const modulesOf = (name: string, argument: string) =>
  Effect.gen(function* () {
    const hooks = fileURLToPath(new URL("./programs/imports.ts", import.meta.url))
    const program = yield* Child.start(name, [argument], ["--import", hooks])
    yield* program.hear
    return yield* Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Array(Schema.String)))(yield* program.hear)
  }).pipe(Effect.scoped)
