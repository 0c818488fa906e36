/**
 * The story's servers: real processes of this program, started, stopped and killed by their ids.
 *
 * It knows at any moment which of them live and serve, which is what the client's snapshot is judged by. Every process
 * ends with the scope of the fleet, and by itself when this process dies without a word: its standard input ends then.
 */
import { Effect, FileSystem, Path, Scope, Stream } from "effect"
import { ChildProcess, type ChildProcessSpawner } from "effect/process"
import { fileURLToPath } from "node:url"

export interface Options {
  readonly service: string
  /** What every server registers in. */
  readonly registry: string
  /** Where the tallies are kept. */
  readonly folder: string
  /** The program that runs one when it is told what the `server` of this one is. Default: this one. */
  readonly program?: string
}

/** What a server is told besides. */
export interface More {
  /** Flags of the server itself. */
  readonly flags?: ReadonlyArray<string>
  /** Flags of Node. */
  readonly node?: ReadonlyArray<string>
}

export interface Server {
  readonly id: string
  /** Serving, as far as anybody may expect it, from its start until it is told to stop, is killed, or ends. */
  isServing: boolean
  readonly handle: ChildProcessSpawner.ChildProcessHandle
  /** The last words on its standard error. */
  readonly words: Array<string>
}

const ownProgram = fileURLToPath(new URL("../main.ts", import.meta.url))

/** So many last words are kept. */
const memory = 10

export const make = Effect.fnUntraced(function* ({ service, registry, folder, program = ownProgram }: Options) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const scope = yield* Scope.fork(yield* Effect.scope, "parallel")
  const servers = new Map<string, Server>()
  const tallies = path.join(folder, "tallies")
  yield* fs.makeDirectory(tallies)

  const command = (id: string, { flags = [], node = [] }: More) => [
    "--conditions=muster-source",
    ...node,
    program,
    "server",
    "--registry",
    registry,
    "--service",
    service,
    "--id",
    id,
    "--tally",
    path.join(tallies, id),
    "--until-stdin-ends",
    ...flags
  ]

  const start = Effect.fn("Fleet.start")(function* (id: string, more: More = {}) {
    const handle = yield* ChildProcess.make(process.execPath, command(id, more), { forceKillAfter: "5 seconds" })
    const server: Server = { id, isServing: true, handle, words: [] }
    servers.set(id, server)
    yield* handle.all.pipe(
      Stream.decodeText,
      Stream.splitLines,
      Stream.runForEach((line) =>
        Effect.sync(() => {
          server.words.push(line)
          if (server.words.length > memory) server.words.shift()
        })
      ),
      Effect.ensuring(Effect.sync(() => (server.isServing = false))),
      Effect.forkIn(scope)
    )
    return server
  }, Scope.provide(scope))

  const end = (killSignal: "SIGTERM" | "SIGKILL") =>
    Effect.fn(`Fleet.${killSignal}`)(function* (server: Server) {
      server.isServing = false
      yield* server.handle.kill({ killSignal })
    })

  /** The orders that were executed more than once, over all servers that ever ran. */
  const repeated = Effect.gen(function* () {
    const executions = new Map<string, number>()
    for (const file of yield* fs.readDirectory(tallies)) {
      for (const order of (yield* fs.readFileString(path.join(tallies, file))).split("\n")) {
        if (order !== "") executions.set(order, (executions.get(order) ?? 0) + 1)
      }
    }
    return [...executions].flatMap(([order, times]) => (times > 1 ? [order] : []))
  })

  return {
    start,
    /** Asks a server to leave, and waits until it is gone. */
    stop: end("SIGTERM"),
    /** Kills a server at once, and waits until its end is certain. */
    kill: end("SIGKILL"),
    isServing: (id: string) => servers.get(id)?.isServing === true,
    repeated,
    executedTwice: Effect.map(repeated, ({ length }) => length)
  }
})

export type Fleet = Effect.Success<ReturnType<typeof make>> & {
  /** Takes a server that serves off the registry, where servers do not register themselves. */
  readonly expel?: (id: string) => Effect.Effect<void>
}

/** What a server said last. */
export const lastWords = ({ id, words }: Server) =>
  `${id} (${words.length === 0 ? "without a word" : words.join(" / ")})`
