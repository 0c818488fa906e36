// The story from end to end, as real processes: what it proves, that its evidence tells a lie from the truth, and that
// it leaves nothing behind however it ends.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { acts, places } from "../src/story/Acts.ts"
import type { Report } from "../src/story/Report.ts"
import { folderExists, noProcessOf, processesOf } from "./fixtures/leftovers.ts"
import { type Program, run, start } from "./fixtures/program.ts"
import { reportOf } from "./fixtures/report.ts"

/** The folder that a story told on standard output has made for itself. */
const folderOf = ({ says }: Program) =>
  Effect.map(says(/registry local:(\S+)\/registry\/orders\.db/), ([, folder]) => folder)

describe("the story", () => {
  it.live(
    "F-s3, F-s8: is told to its end without a request that failed or ran twice, while servers are killed and rolled",
    () =>
      Effect.gen(function* () {
        const { code, stdout, stderr } = yield* run(["--json", "--pace", "0.5", "--rate", "100"])
        assert.strictEqual(code, 0, stderr)
        const report = yield* reportOf(stdout)
        assert.deepStrictEqual(Object.keys(JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "")), [
          "registry",
          "requests",
          "failed",
          "executedTwice",
          "phases",
          "frozen",
          "removedWhileServing",
          "lostInKill",
          "ok"
        ])
        assert.deepStrictEqual(
          report.phases.map(({ name }) => name),
          acts.map(({ name }) => name)
        )
        for (const { name, requests, failed, minPickable, shares } of report.phases) {
          assert.isAtLeast(requests, 200, name)
          assert.isAtMost(failed, name === "failing" ? requests / 100 : 0, name)
          assert.isAtLeast(minPickable, 2, name)
          assert.isAtLeast(Object.keys(shares).length, 3, name)
        }
        assert.strictEqual(
          report.requests,
          report.phases.reduce((sum, { requests }) => sum + requests, 0)
        )
        assert.strictEqual(report.executedTwice, 0)
        assert.strictEqual(report.removedWhileServing, 0)
        assert.isAtLeast(report.frozen.times, 1)
        assert.isAtLeast(report.frozen.maxAgeMs, 4000)
        assert.isTrue(report.ok)
      }),
    { timeout: 240_000 }
  )

  it.live.each([
    { promise: "failed", act: "failing", pace: ["0.2"], shows: ({ failed }: Report) => failed },
    { promise: "executedTwice", act: "steady", pace: ["0.1"], shows: ({ executedTwice }: Report) => executedTwice },
    {
      promise: "removedWhileServing",
      act: "steady",
      pace: ["0.1"],
      shows: ({ removedWhileServing }: Report) => removedWhileServing
    }
  ])(
    "ends with exit code 1 and the evidence when the promise $promise is broken",
    ({ promise, act, pace, shows }) =>
      Effect.gen(function* () {
        const { code, stdout, stderr } = yield* run(["--json", "--break", promise, "--acts", act, "--pace", ...pace])
        const report = yield* reportOf(stdout)
        assert.isAbove(shows(report), 0)
        assert.isFalse(report.ok)
        assert.match(stderr, /✗ .*\n(.*\n)?muster: 1 promise did not hold|muster: \d promises did not hold/)
        assert.strictEqual(code, 1)
      }),
    { timeout: 120_000 }
  )

  it.live.each([
    { signal: "SIGTERM", leaves: "no process and no folder" },
    { signal: "SIGINT", leaves: "no process and no folder" },
    { signal: "SIGHUP", leaves: "no process and no folder" },
    { signal: "SIGKILL", leaves: "no process" }
  ] as const)("leaves $leaves behind after $signal", ({ signal }) =>
    Effect.scoped(
      Effect.gen(function* () {
        const story = yield* start(["--acts", "steady"])
        const folder = yield* folderOf(story)
        for (const place of places) yield* story.says(new RegExp(`${place}-1 joined`))
        assert.isAtLeast(processesOf(folder).length, 3)
        yield* story.signal(signal)
        const { code } = yield* story.ended
        yield* noProcessOf(folder)
        if (signal === "SIGKILL") return
        assert.strictEqual(code, 130)
        assert.isFalse(folderExists(folder))
      })
    )
  )

  it.live("leaves no process and no folder behind when nobody reads it any more", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const story = yield* start(["--acts", "steady"])
        const folder = yield* folderOf(story)
        for (const place of places) yield* story.says(new RegExp(`${place}-1 joined`))
        yield* story.deaf
        yield* story.ended
        yield* noProcessOf(folder)
        assert.isFalse(folderExists(folder))
      })
    )
  )
})
