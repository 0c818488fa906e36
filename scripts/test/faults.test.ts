// The runner of the fault tests: so many times, no more after a failure, and never a run in which nothing was tested.
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const program = fileURLToPath(new URL("../faults.ts", import.meta.url))

const run = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: "utf8",
    env: { ...process.env, ...env }
  })
  return { code: status, lines: stdout.trimEnd().split("\n"), stderr }
}

describe("the runner of the fault tests", () => {
  it("repeats the test files that a word names, and sums up", () => {
    const { code, lines } = run(["lint", "--repeat", "2"])
    assert.match(lines[1] ?? "", /^repeat 1 of 2: \d+ tests passed in \d+ s$/)
    assert.match(lines[2] ?? "", /^repeat 2 of 2: \d+ tests passed in \d+ s$/)
    assert.match(lines.at(-1) ?? "", /^Faults: 2 repeats, \d+ tests passed, 0 failed, in \d+ s$/)
    assert.strictEqual(code, 0)
  })

  it("stops at the first failure and shows it; without etcd its tests fail", () => {
    const { code, lines } = run(["EtcdFixture", "--repeat", "3"], { MUSTER_ETCD: "/nowhere/etcd" })
    assert.include(lines.join("\n"), "FAIL")
    assert.match(lines.at(-1) ?? "", /^Faults: repeat 1 of 3 failed after \d+ s$/)
    assert.strictEqual(code, 1)
  })

  it.each([
    { args: ["x".repeat(20)], says: /^Muster: no test matches "x{20}"\n$/ },
    { args: ["--repeat", "none"], says: /^Muster: --repeat needs a whole number, not "none"\n$/ }
  ])("says what is wrong with $args", ({ args, says }) => {
    const { code, stderr } = run(args)
    assert.match(stderr, says)
    assert.strictEqual(code, 1)
  })
})
