// Servers and clients as a person runs them in separate terminals.
import { assert, describe, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Duration, Effect, FileSystem } from "effect"
import { DatabaseSync } from "node:sqlite"
import { type Program, start } from "./fixtures/program.ts"

const drain = 1000
/** What a busy machine may take to hear the signal and to end a process; a hanging registry would take for ever. */
const toEndTheProcess = 3000

/** Keeps everybody from writing to a registry file, for as long as the scope lives. */
const lock = (file: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const database = new DatabaseSync(file)
      database.exec("PRAGMA busy_timeout = 5000; BEGIN EXCLUSIVE")
      return database
    }),
    (database) => Effect.sync(() => database.close())
  )

const folder = FileSystem.FileSystem.use((fs) => fs.makeTempDirectoryScoped({ prefix: "muster-test-" }))

const server = (registry: string, id: string, ...more: ReadonlyArray<string>) =>
  start(["server", "--registry", registry, "--id", id, ...more])

const address = ({ says }: Program) => Effect.map(says(/serves orders at http:\/\/(\S+),/), ([, found]) => found)

/** A line of figures in which everybody named answers. */
const answersFrom = (...ids: ReadonlyArray<string>) => new RegExp(ids.map((id) => `(?=.*${id} \\d+ %)`).join(""))

describe("servers and clients in separate terminals", () => {
  it.live(
    "find each other through a file, whoever starts first, and a server that leaves costs nothing",
    () =>
      Effect.gen(function* () {
        const registry = `local:${yield* folder}/orders.db`
        const client = yield* start(["client", "--registry", registry])
        const servers = yield* Effect.forEach(["a", "b", "c"], (id) => server(registry, id), { concurrency: 3 })
        yield* client.says(answersFrom("a", "b", "c"))
        yield* servers[0].signal("SIGTERM")
        assert.strictEqual((yield* servers[0].ended).code, 0)
        yield* client.says(/a left/)
        yield* client.signal("SIGINT")
        const { code, stdout, stderr } = yield* client.ended
        assert.strictEqual(code, 0)
        assert.strictEqual(stderr, "")
        assert.match(stdout, / answered, 0 failed\n$/)
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    { timeout: 120_000 }
  )

  it.live(
    "given fixed addresses, a client takes a dead server off and restores it",
    () =>
      Effect.gen(function* () {
        const first = yield* server("none", "a")
        const second = yield* server("none", "b")
        const [at, other] = [yield* address(first), yield* address(second)]
        const client = yield* start(["client", "--registry", `direct:///${at},${other}`])
        yield* client.says(answersFrom(at, other))
        yield* second.signal("SIGKILL")
        yield* client.says(new RegExp(`${other} is ejected`))
        yield* server("none", "b", "--port", String(other.split(":").at(-1)))
        yield* client.says(new RegExp(`${other} came back`))
        yield* client.signal("SIGTERM")
        assert.strictEqual((yield* client.ended).code, 0)
      }).pipe(Effect.scoped),
    { timeout: 120_000 }
  )

  it.live("a server that listens on all interfaces registers an address that clients reach", () =>
    Effect.gen(function* () {
      const registry = `local:${yield* folder}/orders.db`
      yield* start(["server", "--registry", registry, "--id", "a", "--host", "0.0.0.0"], { POD_IP: "127.0.0.2" })
      const client = yield* start(["client", "--registry", registry])
      yield* client.says(/a joined at 127\.0\.0\.2:\d+/)
      yield* client.says(answersFrom("a"))
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live(
    "F-c2: a client that starts while the registry is down calls what it remembers from its last run",
    () =>
      Effect.gen(function* () {
        const memory = `${yield* folder}/remembered`
        const fake = yield* start(["fake", "consul"])
        const [, registry] = yield* fake.says(/^target: (\S+)$/m)
        yield* server(registry, "a")
        const before = yield* start(["client", "--registry", registry, "--remember", memory])
        yield* before.says(answersFrom("a"))
        yield* before.signal("SIGTERM")
        assert.strictEqual((yield* before.ended).code, 0)
        yield* fake.signal("SIGTERM")
        yield* fake.ended
        const after = yield* start(["client", "--registry", registry, "--remember", memory])
        yield* after.says(/a 100 %.* answered · frozen for/)
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    { timeout: 120_000 }
  )

  it.live(
    "F-c2: a client says how old what it remembers is, how long it has been without the registry, and when it follows it",
    () =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const root = yield* folder
        yield* fs.makeDirectory(`${root}/reg`)
        const registry = `local:${root}/reg/orders.db`
        const args = ["client", "--registry", registry, "--remember", `${root}/seen`]
        yield* server(registry, "a")
        const before = yield* start(args)
        yield* before.says(answersFrom("a"))
        yield* before.signal("SIGINT")
        yield* before.ended
        yield* fs.rename(`${root}/reg`, `${root}/reg.away`)
        const after = yield* start(args)
        yield* after.says(/❄ starts with a, remembered from \d.*s ago, because the folder .* is not there/)
        yield* after.says(/frozen for \d.*s with what was seen \d.*s ago/)
        yield* fs.rename(`${root}/reg.away`, `${root}/reg`)
        yield* after.says(/▸ follows the registry again, after \d/)
        yield* after.signal("SIGINT")
        const [meanwhile = ""] = (yield* after.ended).stdout.split("▸")
        assert.notInclude(meanwhile, "joined")
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    { timeout: 120_000 }
  )

  it.live("a client says once why it waits for the registry, and what came of it when it is stopped", () =>
    Effect.gen(function* () {
      const client = yield* start(["client", "--registry", `local:${yield* folder}/none/orders.db`])
      yield* client.says(/no answers · 0 answered · waiting for the registry, because the folder .* is not there\n/)
      yield* client.says(/no answers · 0 answered · waiting for the registry\n/)
      yield* client.signal("SIGINT")
      const { code, stdout } = yield* client.ended
      assert.strictEqual(code, 0)
      assert.match(stdout, /\n0 requests answered, 0 failed\n$/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("a client says that nobody is there", () =>
    Effect.gen(function* () {
      const fake = yield* start(["fake", "consul"])
      const [, registry] = yield* fake.says(/^target: (\S+)$/m)
      const client = yield* start(["client", "--registry", registry])
      yield* client.says(/no answers: nobody is there · 0 answered\n/)
    }).pipe(Effect.scoped)
  )

  it.live("a server says which process to kill, and a client what its requests then fail of", () =>
    Effect.gen(function* () {
      const only = yield* server("none", "a")
      const at = yield* address(only)
      const [, pid] = yield* only.says(/, pid (\d+), /)
      assert.strictEqual(Number(pid), only.pid)
      const client = yield* start(["client", "--registry", `direct:///${at}`])
      yield* client.says(answersFrom(at))
      yield* only.signal("SIGKILL")
      yield* client.says(/\d+ failed: .*connect ECONNREFUSED/)
    }).pipe(Effect.scoped)
  )

  it.live("F-s2: SIGTERM while the registry hangs ends a server within the drain and 2 s", () =>
    Effect.gen(function* () {
      const path = `${yield* folder}/orders.db`
      const one = yield* server(`local:${path}`, "a")
      const client = yield* start(["client", "--registry", `local:${path}`])
      yield* client.says(answersFrom("a"))
      yield* lock(path)
      const [taken, { code }] = yield* Effect.timed(Effect.andThen(one.signal("SIGTERM"), one.ended))
      assert.strictEqual(code, 0)
      assert.isBelow(Duration.toMillis(taken), drain + 2000 + toEndTheProcess)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
