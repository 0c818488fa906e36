/**
 * Measures many cases on every core of the machine, the longest first.
 *
 * Each thread takes the next case when it has answered the last. A thread that dies fails the whole.
 */
import { Effect } from "effect"
import { availableParallelism } from "node:os"
import { Worker } from "node:worker_threads"
import { type Case, keyOf, type Measured, merge } from "./Measured.ts"

/** As many as there are cores, though never more than four: the last cases of a longer row would wait for one anyway. */
const most = 4

/** `heard` is told of each case that was measured. */
export const measureAll = (
  cases: ReadonlyArray<Case>,
  heard: (measured: Measured) => void = () => {}
): Effect.Effect<ReadonlyArray<Measured>> =>
  Effect.gen(function* () {
    const waiting = cases.toReversed()
    const results = new Map<string, Measured>()
    const threads = Math.min(most, availableParallelism(), cases.length)
    yield* Effect.forEach(Array.from({ length: threads }), () => thread(waiting, results, heard), {
      concurrency: "unbounded",
      discard: true
    })
    return [...results.values()]
  })

const thread = (waiting: Array<Case>, results: Map<string, Measured>, heard: (measured: Measured) => void) =>
  Effect.acquireUseRelease(
    Effect.sync(() => new Worker(new URL("./worker.ts", import.meta.url))),
    (worker) =>
      Effect.gen(function* () {
        for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
          const measured = yield* answer(worker, next)
          heard(measured)
          const before = results.get(keyOf(measured))
          results.set(keyOf(measured), before === undefined ? measured : merge(before, measured))
        }
      }),
    (worker) => Effect.promise(() => worker.terminate())
  )

const answer = (worker: Worker, what: Case) =>
  Effect.callback<Measured>((resume) => {
    const heard = (measured: Measured) => {
      worker.off("error", died)
      resume(Effect.succeed(measured))
    }
    const died = (cause: unknown) => {
      worker.off("message", heard)
      resume(Effect.die(cause))
    }
    worker.once("message", heard)
    worker.once("error", died)
    worker.postMessage(what, [])
  })
