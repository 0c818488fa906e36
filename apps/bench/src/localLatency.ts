/**
 * P4 for Local: from the registration in one process until a client in another one may pick the instance.
 *
 * Against what the machine can do at all: a bare commit to a file of the same kind until `fs.watch` on its folder tells
 * the other process. Both in turn, each when the other one was seen.
 */
import * as Local from "@muster/backends/Local"
import { DiscoveryState } from "@muster/core"
import { InstanceId, ServiceName } from "@muster/core/Endpoint"
import { Discovery } from "@muster/runtime"
import { Effect, FileSystem, HashMap, type Scope, Stream } from "effect"
import { watch } from "node:fs"
import { dirname } from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as Child from "./Child.ts"
import { make, quantile } from "./Row.ts"

const rounds = 300
const warmUps = 50

/** Completes with the time at which something was seen; it is awaited before that is done. */
type Seen = Effect.Effect<bigint>

export const localLatency = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "muster-bench-" })
  yield* fs.makeDirectory(`${folder}/bare`)
  const registry = `${folder}/orders.db`
  const bare = `${folder}/bare/bare.db`
  const writer = yield* Child.start("writer", [registry, bare])
  yield* writer.hear

  /** How long it took from the moment at which the writer began until it was seen here, in milliseconds. */
  const timed = Effect.fnUntraced(function* (command: string, seen: Seen) {
    yield* Effect.sleep("20 millis")
    const [begun, end] = yield* Effect.all([Effect.andThen(writer.tell(command), writer.hear), seen], {
      concurrency: 2
    })
    return Number(end - BigInt(begun)) / 1e6
  })

  const times: Array<number> = []
  const bareTimes: Array<number> = []
  const commit = yield* commits(bare)
  yield* Effect.gen(function* () {
    const pickable = yield* instances
    for (let round = -warmUps; round < rounds; round++) {
      const bareTime = yield* timed("commit", commit)
      const id = `i${round + warmUps}`
      const time = yield* timed(`register ${id}`, pickable(id))
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
    // A notice may come a moment before the commit can be seen, and then there is no other one.
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
      wake = (at) => resume(Effect.succeed(at))
    })
  })

/** The moment from which on an instance is in the snapshot that a balancer picks from. */
const instances = Effect.gen(function* () {
  const discovery = yield* Discovery.Discovery
  const { changes } = yield* discovery.subscribe(ServiceName.make("orders"))
  return (id: string): Seen =>
    changes.pipe(
      Stream.takeUntil(
        (state) => DiscoveryState.isKnown(state) && HashMap.has(state.snapshot.endpoints, InstanceId.make(id))
      ),
      Stream.runDrain,
      Effect.map(Child.now)
    )
})
