// Scripted registries as programs: what a person starts first to try the rest.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync } from "node:fs"
import { childrenOf, lives } from "./fixtures/leftovers.ts"
import { run, start } from "./fixtures/program.ts"

const target = /^target: (\S+)$/m

describe("fake", () => {
  it.live.each(["consul", "nacos"])("%s: a server registers there, and a client finds and calls it", (kind) =>
    Effect.gen(function* () {
      const fake = yield* start(["fake", kind])
      const [, registry] = yield* fake.says(target)
      assert.match(registry, new RegExp(`^${kind}://127\\.0\\.0\\.1:\\d+$`))
      const server = yield* start(["server", "--registry", registry, "--id", "a"])
      const client = yield* start(["client", "--registry", registry])
      yield* client.says(/a 100 %/)
      yield* server.signal("SIGTERM")
      assert.strictEqual((yield* server.ended).code, 0)
      yield* client.says(/a left/)
      yield* fake.signal("SIGTERM")
      const { code, stderr } = yield* fake.ended
      assert.deepStrictEqual([code, stderr], [0, ""])
    }).pipe(Effect.scoped)
  )

  it.live("k8s: prints a kubeconfig with which a client follows its target, and takes it away again", () =>
    Effect.gen(function* () {
      const fake = yield* start(["fake", "k8s"])
      const [, registry] = yield* fake.says(target)
      const [, kubeconfig] = yield* fake.says(/^kubeconfig: (\S+)$/m)
      assert.strictEqual(registry, "k8s://shop/orders:http")
      const client = yield* start(["client", "--registry", registry], { KUBECONFIG: kubeconfig })
      yield* client.says(/no answers/)
      yield* fake.signal("SIGINT")
      assert.strictEqual((yield* fake.ended).code, 0)
      assert.isFalse(existsSync(kubeconfig))
      yield* client.says(/frozen for/)
    }).pipe(Effect.scoped)
  )

  it.live("listens where it is told to, and says that somebody else does", () =>
    Effect.gen(function* () {
      const first = yield* start(["fake", "consul"])
      const [, registry] = yield* first.says(target)
      const [port = ""] = registry.split(":").slice(-1)
      const { code, stdout, stderr } = yield* run(["fake", "k8s", "--port", port])
      assert.deepStrictEqual([code, stdout, stderr], [1, "", `muster: 127.0.0.1:${port} is taken\n`])
      yield* first.signal("SIGTERM")
      yield* first.ended
      const second = yield* start(["fake", "consul", "--port", port])
      assert.strictEqual((yield* second.says(target))[1], registry)
    }).pipe(Effect.scoped)
  )

  it.live.each(["consul", "nacos"])("%s: leaves no process behind when it is killed", (kind) =>
    Effect.gen(function* () {
      const fake = yield* start(["fake", kind])
      yield* fake.says(target)
      const [child = 0, ...others] = childrenOf(fake.pid)
      assert.deepStrictEqual(others, [])
      yield* fake.signal("SIGKILL")
      yield* Effect.repeat(
        Effect.sync(() => lives(child)),
        { while: (alive) => alive }
      )
    }).pipe(Effect.scoped)
  )
})
