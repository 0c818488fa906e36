// `npm run test:faults -- [word] [--repeat 20]`: the fault tests, so many times one after the other, to find what fails
// only now and then. They are the tests that name an etcd cell of the fault matrix (F-etcd-…) and run against real etcd,
// which they need: without one they fail. With a word: the test files that have it in their name, else the tests.
// Stops at the first failure and shows its output; the last line of standard output is the summary.
import { type ChildProcess, spawn } from "node:child_process"
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { constants, tmpdir } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

const root = fileURLToPath(new URL("..", import.meta.url))
const vitest = join(root, "node_modules/vitest/vitest.mjs")
const etcdCell = "F-etcd-"

interface Selection {
  readonly files: ReadonlyArray<string>
  /** Only tests with this in their names; all tests of the files without it. */
  readonly named: string | undefined
}

const select = (word: string | undefined): Selection => {
  const files = globSync(["scripts/test/*.test.ts", "{packages,apps}/*/test/**/*.test.ts"], { cwd: root }).toSorted()
  const called =
    word === undefined ? [] : files.filter((file) => basename(file).toLowerCase().includes(word.toLowerCase()))
  if (called.length > 0) return { files: called, named: undefined }
  const named = word ?? etcdCell
  return { files: files.filter((file) => readFileSync(join(root, file), "utf8").includes(named)), named }
}

const seconds = (since: number) => `${Math.round((performance.now() - since) / 1000)} s`
const count = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`

/** `npm test` also runs what else there is at the same time, so there a rollout has fewer requests. */
const long = { MUSTER_TEST_ROLLOUT_REQUESTS: "5000", MUSTER_TEST_ROLLOUT_RATE: "200" }

let running: ChildProcess | undefined
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    running?.kill(signal)
    process.exitCode = 128 + constants.signals[signal]
  })
}

/** Runs the selection once: how many tests passed, and the output if they did not all. */
const once = async ({ files, named }: Selection, report: string) => {
  const names = named === undefined ? [] : ["--testNamePattern", named.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&")]
  const reports = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
  const child = spawn(process.execPath, [vitest, "run", ...files, ...names, ...reports], {
    cwd: root,
    env: { ...long, ...process.env, CI: "true" },
    stdio: ["ignore", "pipe", "pipe"]
  })
  running = child
  let output = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += String(chunk)))
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve))
  if (code !== 0) return { passed: 0, output }
  const passed = /"numPassedTests":(\d+)/.exec(readFileSync(report, "utf8"))
  return { passed: Number(passed?.[1] ?? 0), output }
}

const main = async (args: ReadonlyArray<string>) => {
  const { positionals, values } = parseArgs({
    args: [...args],
    options: { repeat: { type: "string", default: "1" } },
    allowPositionals: true
  })
  const repeats = Number(values.repeat)
  if (!Number.isInteger(repeats) || repeats < 1)
    throw new Error(`--repeat needs a whole number, not "${values.repeat}"`)
  if (positionals.length > 1) throw new Error(`one word at most, not "${positionals.join(" ")}"`)
  const selection = select(positionals[0])
  if (selection.files.length === 0) throw new Error(`no test matches "${positionals[0]}"`)
  console.log(`${count(repeats, "repeat")} of the tests in ${selection.files.join(" ")}`)

  const folder = mkdtempSync(join(tmpdir(), "muster-faults-"))
  const startedAt = performance.now()
  let tests = 0
  try {
    for (let repeat = 1; repeat <= repeats; repeat++) {
      const since = performance.now()
      const { output, passed } = await once(selection, join(folder, "report.json"))
      if (process.exitCode !== undefined) return
      if (passed === 0) {
        console.log(output)
        console.log(`Faults: repeat ${repeat} of ${repeats} failed after ${seconds(startedAt)}`)
        process.exitCode = 1
        return
      }
      tests += passed
      console.log(`repeat ${repeat} of ${repeats}: ${count(passed, "test")} passed in ${seconds(since)}`)
    }
    console.log(
      `Faults: ${count(repeats, "repeat")}, ${count(tests, "test")} passed, 0 failed, in ${seconds(startedAt)}`
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(`Muster: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
})
