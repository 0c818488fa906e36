/**
 * P4 for Local: from the registration in one process until a client in another one may pick the instance.
 *
 * Against what the machine can do at all: a bare commit to a file of the same kind until `fs.watch` on its folder tells
 * the other process. Both in turn, each when the other one was seen.
 */
import * as Local from "@muster/backends/Local"
import { Discovery } from "@muster/runtime"
import { Effect, FileSystem, type Scope } from "effect"
import { watch } from "node:fs"
import { dirname } from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as Child from "./Child.ts"
import { make, quantile } from "./Row.ts"
import { pickable, type Seen, timed } from "./seen.ts"

const rounds = 300
const warmUps = 50

export const localLatency = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "muster-bench-" })
  yield* fs.makeDirectory(`${folder}/bare`)
  const registry = `${folder}/orders.db`
  const bare = `${folder}/bare/bare.db`
  const writer = yield* Child.start("writer", [registry, bare])
  yield* writer.hear

  const times: Array<number> = []
  const bareTimes: Array<number> = []
  const commit = yield* commits(bare)
  yield* Effect.gen(function* () {
    const instance = yield* pickable
    for (let round = -warmUps; round < rounds; round++) {
      const bareTime = yield* timed(writer, "commit", commit)
      const id = `i${round + warmUps}`
      const time = yield* timed(writer, `register ${id}`, instance(id))
      if (round < 0) continue
      bareTimes.push(bareTime)
      times.push(time)
    }
  }).pipe(Effect.provide(Discovery.layer), Effect.provide(Local.layer({ path: registry })))

  const row = (name: string, q: number, bar?: number) =>
    make({
      id: "P4",
      case: `Local: registered → pickable in another process, ${name}, against commit → fs.watch`,
      value: quantile(times, q),
      against: quantile(bareTimes, q),
      unit: "ms",
      ...(bar === undefined ? {} : { bar })
    })
  return [row("p50", 0.5, 3), row("p99", 0.99)]
}).pipe(Effect.scoped)

/** The next commit to a database, as `fs.watch` on its folder tells of it. */
const commits = (file: string): Effect.Effect<Seen, never, Scope.Scope> =>
  Effect.gen(function* () {
    const database = yield* Effect.acquireRelease(
      Effect.sync(() => new DatabaseSync(file)),
      (database) => Effect.sync(() => database.close())
    )
    const version = database.prepare("PRAGMA data_version")
    const read = () => String(version.get()?.["data_version"])
    let known = read()
    let wake: ((at: bigint) => void) | undefined
    // A notice may come a moment before the commit can be seen, and then there is no other one: on a busy machine the
    // commit may even come later than all these looks, and is then found by the next slow one.
    const look = (again = 100) => {
      const current = read()
      if (current === known) {
        if (again > 0) setImmediate(look, again - 1)
        return
      }
      known = current
      wake?.(Child.now())
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => watch(dirname(file), () => look())),
      (watcher) => Effect.sync(() => watcher.close())
    )
    return Effect.callback<bigint>((resume) => {
      const slowly = setInterval(look, 50, 0)
      wake = (at) => {
        clearInterval(slowly)
        resume(Effect.succeed(at))
      }
    })
  })
