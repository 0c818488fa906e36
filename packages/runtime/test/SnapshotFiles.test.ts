import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, FileSystem, Layer, Queue } from "effect"
import { NodeServices } from "@effect/platform-node"
import { Discovery, SnapshotFiles } from "@muster/runtime"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

const program = fileURLToPath(new URL("./fixtures/rememberingClient.ts", import.meta.url))

const folder = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())

const store = Effect.fnUntraced(function* (directory: string) {
  const context = yield* Layer.build(SnapshotFiles.layer({ directory }))
  const memory = Context.get(context, Discovery.Memory)
  return memory ?? (yield* Effect.die("nothing is remembered"))
})

/** A client as a process of its own: what it says, and how it ends. */
const client = Effect.fnUntraced(function* (directory: string, registry: "up" | "down") {
  const lines = yield* Queue.unbounded<string>()
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, ["--conditions=muster-source", program, directory, registry], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      createInterface(child.stdout).on("line", (line) => Queue.offerUnsafe(lines, line))
      return child
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  return {
    line: Queue.take(lines),
    end: (signal: NodeJS.Signals) =>
      Effect.callback<void>((resume) => {
        child.once("exit", () => resume(Effect.void))
        child.kill(signal)
      })
  }
})

const text = (length: number) => "x".repeat(length) + "end"

const ids = ["i-1", "i-2", "i-3"]

describe("SnapshotFiles", () => {
  it.live("F-c2: a client that is killed and started again while the registry is down serves what it knew", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const first = yield* client(directory, "up")
      assert.deepStrictEqual(JSON.parse(yield* first.line), { state: "Live", ids, hasAge: true })
      assert.strictEqual(yield* first.line, "kept")
      yield* first.end("SIGKILL")
      const second = yield* client(directory, "down")
      assert.deepStrictEqual(JSON.parse(yield* second.line), { state: "Frozen", ids, hasAge: true })
      yield* second.end("SIGTERM")
      const third = yield* client(directory, "up")
      assert.strictEqual(JSON.parse(yield* third.line).state, "Live")
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("keeps a text of its own under each key, for this user only, and makes its folder when it needs it", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = `${yield* folder}/deep/inside`
      const { get, set } = yield* store(directory)
      assert.isUndefined(yield* get("orders.1"))
      assert.isFalse(yield* fs.exists(directory))
      yield* set("orders.1", "one")
      yield* set("orders.2", "two")
      yield* set("orders.1", "three")
      assert.deepStrictEqual([yield* get("orders.1"), yield* get("orders.2")], ["three", "two"])
      assert.deepStrictEqual((yield* fs.readDirectory(directory)).toSorted(), ["orders.1", "orders.2"])
      assert.strictEqual((yield* fs.stat(`${directory}/orders.1`)).mode & 0o777, 0o600)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("who reads while others write finds one whole text or another", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* folder
      const writers = yield* Effect.forEach([1, 2, 3, 4], () => store(directory))
      const reader = yield* store(directory)
      yield* reader.set("orders", text(0))
      const write = Effect.forEach(
        writers,
        ({ set }, n) =>
          Effect.forEach(Array(25).keys(), (m) => set("orders", text(1 + n * 400_000 + m)), { discard: true }),
        { concurrency: "unbounded", discard: true }
      )
      const read = Effect.forever(
        Effect.tap(reader.get("orders"), (found) => Effect.sync(() => assert.match(found?.slice(-4) ?? "", /^x?end$/)))
      )
      yield* Effect.raceFirst(write, read)
      assert.deepStrictEqual(yield* fs.readDirectory(directory), ["orders"])
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("leaves nothing behind where it cannot write", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* folder
      const { set } = yield* store(directory)
      yield* fs.makeDirectory(`${directory}/orders`)
      assert.strictEqual((yield* Effect.exit(set("orders", "text")))._tag, "Failure")
      assert.deepStrictEqual(yield* fs.readDirectory(directory), ["orders"])
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
