/**
 * What the README and docs/ show is what a reader gets: their programs are cut out, type-checked as they stand, and those
 * of the README run as real processes in an empty folder.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, FileSystem, Path, Schedule, Stream } from "effect"
import { NodeServices } from "@effect/platform-node"
import { ChildProcess } from "effect/process"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../../", import.meta.url))

/** The TypeScript programs of the README and docs/, by the name in the fence: ```ts server.ts */
const programs = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const pages = ["README.md", ...(yield* fs.readDirectory(`${root}docs`)).map((page) => `docs/${page}`)]
  const texts = yield* Effect.forEach(pages, (page) => fs.readFileString(root + page))
  return texts.flatMap((text) =>
    [...text.matchAll(/^```ts (\S+)\n([\s\S]*?)^```$/gm)].map(([, name, code]) => ({ name, code }))
  )
})

/** Writes the programs where `@muster/*` and `effect` resolve, for as long as the scope lives. */
const unpacked = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const folder = yield* fs.makeTempDirectoryScoped({ directory: path.join(root, "apps/demo"), prefix: ".readme-" })
  const all = yield* programs
  for (const { name, code } of all) yield* fs.writeFileString(path.join(folder, name), code)
  const project = {
    extends: "../../../tsconfig.base.json",
    compilerOptions: { noEmit: true, incremental: false },
    files: all.map(({ name }) => name)
  }
  yield* fs.writeFileString(path.join(folder, "tsconfig.json"), JSON.stringify(project))
  return folder
})

const node = (folder: string, cwd: string, program: string) =>
  ChildProcess.make(process.execPath, ["--conditions=muster-source", `${folder}/${program}`], { cwd })

describe("README and docs", () => {
  it.live("every program in them compiles, and the client is answered by the servers that the README shows", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* unpacked
      const cwd = yield* fs.makeTempDirectoryScoped()

      const compiled = yield* ChildProcess.make(`${root}node_modules/.bin/tsc`, ["-p", folder])
      const [complaints, code] = yield* Effect.all(
        [Stream.mkString(Stream.decodeText(compiled.all)), compiled.exitCode],
        {
          concurrency: 2
        }
      )
      assert.strictEqual(Number(code), 0, complaints)

      const servers = yield* Effect.forEach([1, 2], () => node(folder, cwd, "server.ts"))
      const answered = yield* Deferred.make<string>()
      const ask = Effect.gen(function* () {
        const client = yield* node(folder, cwd, "client.ts")
        const text = yield* Stream.mkString(Stream.decodeText(client.stdout))
        return (yield* client.exitCode) === 0 ? yield* Deferred.succeed(answered, text) : yield* Effect.fail(text)
      })
      yield* Effect.retry(Effect.scoped(ask), Schedule.recurs(5))
      const text = yield* Deferred.await(answered)
      assert.isTrue(
        servers.some(({ pid }) => text.includes(`hello from ${pid}`)),
        text
      )

      const swapped = yield* node(folder, cwd, "swapped.ts")
      const other = yield* Stream.mkString(Stream.decodeText(swapped.stdout))
      assert.strictEqual(Number(yield* swapped.exitCode), 0, other)
      assert.isTrue(
        servers.some(({ pid }) => other.includes(`hello from ${pid}`)),
        other
      )
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
