/**
 * What a process uses: it says so itself whenever it is told to, and two such answers make a window.
 */
import { Effect, Schema } from "effect"
import type * as Child from "./Child.ts"
import * as Commands from "./commands.ts"

/**
 * The figures of one moment: time and processor time in microseconds, memory in bytes, and what has been done so far.
 * What is alive is only known after a collection (`node --expose-gc`), which is made when `heap` is asked for.
 */
const Usage = Schema.Struct({
  at: Schema.Finite,
  cpu: Schema.Finite,
  resident: Schema.Finite,
  heap: Schema.Finite,
  sockets: Schema.Finite,
  done: Schema.Finite
})

const fromLine = Schema.decodeEffect(Schema.fromJsonString(Usage))

/** In the measured program: answers each line with its usage, for as long as it is asked. */
export const report = (done: () => number) =>
  Commands.obey((what) =>
    Effect.sync(() => {
      if (what === "heap") globalThis.gc?.()
      const { system, user } = process.cpuUsage()
      const usage: typeof Usage.Type = {
        at: Number(process.hrtime.bigint() / 1000n),
        cpu: system + user,
        resident: process.memoryUsage.rss(),
        heap: process.memoryUsage().heapUsed,
        sockets: process.getActiveResourcesInfo().filter((kind) => kind === "TCPSocketWrap").length,
        done: done()
      }
      process.stdout.write(`${JSON.stringify(usage)}\n`)
    })
  )

const ask = (child: Child.Child, what = "usage") =>
  Effect.andThen(child.tell(what), Effect.flatMap(child.hear, fromLine))

/** What is alive in a program, in megabytes. */
export const alive = (child: Child.Child) => Effect.map(ask(child, "heap"), ({ heap }) => heap / 1e6)

/** What the programs use while something goes on. */
export const during = <A, E, R>(children: ReadonlyArray<Child.Child>, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = yield* Effect.forEach(children, (child) => ask(child))
    yield* effect
    const after = yield* Effect.forEach(children, (child) => ask(child))
    return after.map((end, place) => {
      const start = before[place] ?? end
      return {
        /** Percent of one core. */
        core: ((end.cpu - start.cpu) / (end.at - start.at)) * 100,
        megabytes: end.resident / 1e6,
        sockets: end.sockets,
        /** How much was done, for each second. */
        rate: ((end.done - start.done) / (end.at - start.at)) * 1e6
      }
    })
  })
