/**
 * A measured program in a process of its own: told what to do line by line, answering line by line.
 *
 * It runs Muster as it is installed, built and not from its sources, because stripping types is no part of the cost. It
 * is killed by its id when the scope closes. Its times and ours are of one clock, the monotonic one of the machine.
 */
import { Cause, Effect, Queue, Schema, type Scope, Stream } from "effect"
import { ChildProcess } from "effect/process"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

class ProgramFailed extends Schema.TaggedError<ProgramFailed>()("ProgramFailed", { message: Schema.String }) {}

/** Builds the packages where their sources have changed. */
export const built = Effect.gen(function* () {
  const root = fileURLToPath(new URL("../../../", import.meta.url))
  const packages = ["core", "backends", "runtime"].map((name) => `packages/${name}`)
  const compiler = yield* ChildProcess.make(`${root}node_modules/.bin/tsc`, ["-b", ...packages], { cwd: root })
  const [said, code] = yield* Effect.all([Stream.mkString(Stream.decodeText(compiler.all)), compiler.exitCode], {
    concurrency: 2
  })
  if (code !== 0) return yield* new ProgramFailed({ message: `the packages cannot be built: ${said}` })
}).pipe(Effect.scoped)

export interface Child {
  readonly tell: (line: string) => Effect.Effect<void>
  /** The next line that it says. */
  readonly hear: Effect.Effect<string, ProgramFailed>
}

/** Nanoseconds on the monotonic clock, which is one for all processes of a machine. */
export const now = (): bigint => process.hrtime.bigint()

export const millisecondsSince = (start: bigint): number => Number(now() - start) / 1e6

/** Starts `programs/<name>.ts`. */
export const start = (
  name: string,
  args: ReadonlyArray<string>,
  flags: ReadonlyArray<string> = []
): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.gen(function* () {
    const lines = yield* Queue.make<string, ProgramFailed>()
    const program = fileURLToPath(new URL(`./programs/${name}.ts`, import.meta.url))
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(process.execPath, [...flags, program, ...args], { stdio: ["pipe", "pipe", "inherit"] })),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    createInterface({ input: child.stdout }).on("line", (line) => Queue.offerUnsafe(lines, line))
    child.once("close", (code) =>
      Queue.failCauseUnsafe(lines, Cause.fail(new ProgramFailed({ message: `${name} ended with code ${code}` })))
    )
    return {
      tell: (line) => Effect.sync(() => void child.stdin.write(`${line}\n`)),
      hear: Queue.take(lines)
    }
  })
