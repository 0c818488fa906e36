/**
 * Real processes on one file. `MUSTER_LOCAL_SECONDS=60` makes the first test run for a minute.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Random, type Scope } from "effect"
import { type ChildProcess, fork, spawnSync } from "node:child_process"
import Fs from "node:fs"
import Path from "node:path"
import { Place, sql } from "./fixtures/localFile.ts"
import type { Report, Request } from "./fixtures/localProcess.ts"

const seconds = Number(process.env["MUSTER_LOCAL_SECONDS"] ?? 2)
const program = Path.join(import.meta.dirname, "fixtures", "localProcess.ts")

const execArgv = ["--conditions=muster-source"]

interface Member {
  readonly child: ChildProcess
  readonly ask: (request: Request) => Effect.Effect<unknown>
}

/** Starts a process; it is ready once it has registered, and killed with the scope at the latest. */
const start = Effect.fnUntraced(function* (
  id: string,
  options: { readonly ttl: number; readonly pause: number }
): Effect.fn.Return<Member, never, Place | Scope.Scope> {
  const { folder, path } = yield* Place
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      fork(program, [path, id, String(options.ttl), String(options.pause)], {
        execArgv,
        env: { ...process.env, NODE_COMPILE_CACHE: Path.join(Path.dirname(folder), "compiled") }
      })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const answer = Effect.callback<unknown>((resume) => {
    child.once("message", (message) => resume(Effect.succeed(message)))
    child.once("exit", (code, signal) => resume(Effect.die(new Error(`${id} ended: ${code ?? signal}`))))
  })
  yield* answer
  return {
    child,
    ask: (request) =>
      Effect.andThen(
        Effect.sync(() => child.send(request)),
        answer
      )
  }
})

/** Somebody who may read the sources but owns no file, where this process is one that every file obeys. */
const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}

const nobodyReadsSources =
  spawnSync(process.execPath, ["-e", "fs.accessSync(process.argv[1])", program], { cwd: "/", ...nobody }).status === 0

const integrity = sql((file) =>
  file
    .prepare("PRAGMA integrity_check")
    .all()
    .map((row) => row["integrity_check"])
)

/** What the log says from its beginning, and what the entries say. */
const histories = sql((file) => {
  const told: Record<string, unknown> = {}
  const revisions: Array<unknown> = []
  for (const { id, revision, value } of file.prepare("SELECT * FROM log ORDER BY revision").all()) {
    revisions.push(revision)
    if (value === null) delete told[String(id)]
    else told[String(id)] = value
  }
  const entries = file.prepare("SELECT id, value FROM entries").all()
  return {
    revisions,
    told: told,
    stands: Object.fromEntries(entries.map(({ id, value }) => [id, value])),
    leases: file.prepare("SELECT id FROM leases").all().length,
    weights: entries.map(({ value }) => JSON.parse(String(value)) as { id: string; weight: number })
  }
})

describe("Local, in real processes", () => {
  it.live(
    `20 processes that make, register, renew, update and watch one file for ${seconds} s lose no event and no lease`,
    () =>
      Effect.gen(function* () {
        const ids = Array.from({ length: 20 }, (_, n) => `p-${n}`)
        const members = yield* Effect.forEach(ids, (id) => start(id, { ttl: 6000, pause: 400 }), {
          concurrency: "unbounded"
        })
        yield* Effect.sleep(`${seconds} seconds`)
        yield* Effect.forEach(members, ({ ask }) => ask({ quiet: true }), { concurrency: "unbounded" })
        const end = yield* histories
        const reportAt = Number(end.revisions.at(-1))
        const reports = yield* Effect.forEach(
          members,
          ({ ask }) => Effect.map(ask({ reportAt }), (report) => report as Report),
          { concurrency: "unbounded" }
        )
        const state = end.weights.map(({ id, weight }) => `${id}:${weight}`).toSorted()
        for (const { events, id, resets, revision, state: seen, trouble, wrong } of reports) {
          assert.deepStrictEqual(
            { id, resets, revision, seen, trouble, wrong },
            {
              id,
              resets: 1,
              revision: reportAt,
              seen: state,
              trouble: [],
              wrong: []
            }
          )
          assert.isAbove(events, 20)
        }
        assert.deepStrictEqual(end.told, end.stands)
        assert.strictEqual(end.leases, 20)
        assert.deepStrictEqual(yield* integrity, ["ok"])
        const sum = (pick: (report: Report) => number) => reports.reduce((all, report) => all + pick(report), 0)
        console.log(
          `Local: ${reports.length} processes, ${reportAt} revisions, ${sum((one) => one.events)} events seen, ` +
            `${sum((one) => one.renewals)} renewals, ${sum((one) => one.updates)} updates`
        )
      }).pipe(Effect.provide(Place.layer)),
    (seconds + 60) * 1000
  )

  it.live(
    "processes killed at any moment, also in the middle of a write, corrupt nothing and leave no ghost",
    () =>
      Effect.gen(function* () {
        const watcher = yield* start("watcher", { ttl: 3000, pause: 50 })
        let killed = 0
        yield* Effect.forEach(
          ["a", "b", "c"],
          (id) =>
            Effect.gen(function* () {
              for (let round = 0; round < 3; round++) {
                const { child } = yield* start(id, { ttl: 1000, pause: 0 })
                yield* Effect.sleep(`${yield* Random.nextIntBetween(0, 150)} millis`)
                child.kill("SIGKILL")
                killed++
              }
            }),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(killed, 9)
        assert.deepStrictEqual(yield* integrity, ["ok"])
        const left = Effect.map(histories, ({ weights }) => weights.map(({ id }) => id))
        yield* Effect.repeat(Effect.delay(left, "100 millis"), { until: (ids) => ids.length === 1 })
        yield* watcher.ask({ quiet: true })
        const end = yield* histories
        const reportAt = Number(end.revisions.at(-1))
        const report = (yield* watcher.ask({ reportAt })) as Report
        assert.deepStrictEqual(report.wrong, [])
        assert.deepStrictEqual(report.trouble, [])
        assert.deepStrictEqual(
          report.state,
          end.weights.map(({ id, weight }) => `${id}:${weight}`)
        )
        assert.deepStrictEqual(end.told, end.stands)
        assert.deepStrictEqual(
          end.revisions,
          end.revisions.map((_, n) => n + 1)
        )
        assert.deepStrictEqual(yield* integrity, ["ok"])
      }).pipe(Effect.provide(Place.layer)),
    60_000
  )

  it.live("F-local-c, F-local-h: a process that was stopped while its file was deleted does not harm the new one", () =>
    Effect.gen(function* () {
      const { path } = yield* Place
      const stopped = yield* start("stopped", { ttl: 1000, pause: 20 })
      stopped.child.kill("SIGSTOP")
      Fs.rmSync(path)
      const fresh = yield* start("fresh", { ttl: 60_000, pause: 20 })
      const second = yield* start("second", { ttl: 60_000, pause: 20 })
      stopped.child.kill("SIGCONT")
      const { trouble } = (yield* stopped.ask({ reportAt: 0 })) as Report
      assert.match(trouble.join("\n"), /the file that it was in was removed; register again|is not in the file/)
      yield* fresh.ask({ quiet: true })
      yield* second.ask({ quiet: true })
      const { stands, told } = yield* histories
      assert.deepStrictEqual(told, stands)
      assert.deepStrictEqual(Object.keys(stands), ["fresh", "second"])
      assert.deepStrictEqual(yield* integrity, ["ok"])
      const reports = (yield* Effect.forEach([fresh, second], ({ ask }) =>
        ask({ reportAt: 0 })
      )) as ReadonlyArray<Report>
      assert.deepStrictEqual(
        reports.flatMap(({ trouble, wrong }) => [...trouble, ...wrong]),
        []
      )
    }).pipe(Effect.provide(Place.layer))
  )

  it.live.skipIf(!nobodyReadsSources)(
    "F-local-g: a file or a folder that may not be written gives a typed error that says what to do",
    () =>
      Effect.gen(function* () {
        const { folder, path } = yield* Place
        Fs.chmodSync(Path.dirname(folder), 0o755)
        const attempt = Effect.gen(function* () {
          const child = yield* Effect.acquireRelease(
            Effect.sync(() => fork(program, [path, "nobody", "1000", "1000"], { execArgv, cwd: "/", ...nobody })),
            (child) => Effect.sync(() => child.kill("SIGKILL"))
          )
          return yield* Effect.callback<unknown>((resume) => {
            child.once("message", (message) => resume(Effect.succeed(message)))
            child.once("exit", (code) => resume(Effect.succeed(`ended: ${code}`)))
          })
        })
        Fs.chmodSync(folder, 0o555)
        const noFolder = yield* attempt
        Fs.chmodSync(folder, 0o755)
        yield* Effect.scoped(start("owner", { ttl: 1000, pause: 1000 }))
        Fs.chmodSync(path, 0o444)
        const noFile = yield* attempt
        Fs.chmodSync(path, 0o666)
        Fs.chmodSync(folder, 0o555)
        assert.match(
          String(yield* attempt),
          /^PermissionDenied: .*the file or its folder cannot be written; give this process write access to both$/
        )
        for (const answer of [noFolder, noFile]) {
          assert.match(
            String(answer),
            /^PermissionDenied: .*permission denied.*; give this process access to the file and its folder$/
          )
        }
      }).pipe(Effect.provide(Place.layer))
  )
})
