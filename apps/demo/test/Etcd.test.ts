// The story on real etcd: one that it starts, kills, stops and wipes, and one that was running before, which must not
// lose a key that is not the story's own.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as EtcdServer from "../../../packages/backends/test/fixtures/EtcdServer.ts"
import { places } from "../src/story/Acts.ts"
import { noProcessOf, processesOf } from "./fixtures/leftovers.ts"
import { run, start } from "./fixtures/program.ts"
import { reportOf } from "./fixtures/report.ts"

/** Every key there is, with its value, its lease, and when it was written. */
const everything = (client: Effect.Success<ReturnType<typeof EtcdServer.operator>>) =>
  Effect.map(
    Effect.promise(() => client.getAll().exec()),
    ({ kvs, header }) => ({
      revision: Number(header.revision),
      keys: kvs.map(({ key, value, lease, mod_revision }) =>
        [String(key), String(value), lease, mod_revision].join(" ")
      )
    })
  )

describe.skipIf(EtcdServer.isMissing)("the story on etcd", () => {
  it.live(
    "F-s3, F-etcd-a, F-etcd-a2, F-etcd-c: fails no request while etcd is killed, stopped and wiped",
    () =>
      Effect.gen(function* () {
        const args = ["--registry", "etcd", "--json", "--acts", "kill,outage,wiped", "--pace", "0.4"]
        const { code, stdout, stderr } = yield* run(args)
        assert.strictEqual(code, 0, stderr)
        const report = yield* reportOf(stdout)
        assert.strictEqual(report.registry, "etcd")
        assert.strictEqual(report.failed, 0, stderr)
        assert.strictEqual(report.executedTwice, 0, stderr)
        assert.strictEqual(report.removedWhileServing, 0, stderr)
        assert.isAtLeast(report.frozen.times, 3, stderr)
        for (const { name, requests } of report.phases) assert.isAtLeast(requests, 200, name)
        assert.isTrue(report.ok)
        for (const deed of [/etcd is killed \(-9\)\n/, /etcd is stopped \(SIGSTOP\)/, /its data deleted/]) {
          assert.match(stderr, deed)
        }
      }),
    { timeout: 180_000 }
  )

  it.live(
    "F-etcd-d: a running one is taken away and wiped for the story alone: no other key is touched, none is left behind",
    () =>
      Effect.gen(function* () {
        const server = yield* EtcdServer.make()
        const operator = yield* EtcdServer.operator([server.address])
        yield* Effect.promise(async () => {
          for (const key of ["a", "muster", "muster-demo", "muster-demo-", "muster/orders/ash-1", "muster0", "z"]) {
            await operator.put(key).value("somebody else's")
          }
          await operator.lease(600, { autoKeepAlive: false }).put("muster-demo-1/leased").value("somebody else's")
        })
        const before = yield* everything(operator)

        const args = ["--registry", `etcd://${server.address}`, "--json", "--acts", "outage,wiped", "--pace", "0.3"]
        const { code, stdout, stderr } = yield* run(args)
        assert.strictEqual(code, 0, stderr)
        const report = yield* reportOf(stdout)
        assert.isTrue(report.ok, stderr)
        assert.isAtLeast(report.frozen.times, 2, stderr)

        const after = yield* everything(operator)
        assert.deepStrictEqual(after.keys, before.keys)
        // Three servers, registered, wiped, and put back.
        assert.isAtLeast(after.revision - before.revision, 7)
      }).pipe(Effect.scoped),
    { timeout: 180_000 }
  )

  it.live.each(["SIGTERM", "SIGKILL"] as const)(
    "leaves neither servers nor etcd behind after %s",
    (signal) =>
      Effect.scoped(
        Effect.gen(function* () {
          const story = yield* start(["--registry", "etcd", "--acts", "steady"])
          const [, address = ""] = yield* story.says(/registry etcd:\/\/(\S+)/)
          for (const place of places) yield* story.says(new RegExp(`${place}-1 joined`))
          assert.isAtLeast(processesOf(address).length, 4)
          yield* story.signal(signal)
          yield* story.ended
          yield* noProcessOf(address)
        })
      ),
    { timeout: 60_000 }
  )
})
