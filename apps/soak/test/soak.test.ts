/**
 * One minute of the soak, as the real program: etcd is killed, stopped, cut off, compacted and wiped, and every watcher
 * agrees with its listing again after each heal. `npm run soak -- --minutes 10` is the long form.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { NodeServices } from "@effect/platform-node"
import { ChildProcess } from "effect/process"
import { fileURLToPath } from "node:url"
import { isMissing } from "../../../packages/backends/test/fixtures/EtcdServer.ts"

const program = fileURLToPath(new URL("../src/main.ts", import.meta.url))
const Verdict = Schema.fromJsonString(
  Schema.Struct({ ok: Schema.Boolean, checks: Schema.Int, violations: Schema.Array(Schema.String) })
)

describe.skipIf(isMissing)("soak", () => {
  it.live(
    "F-etcd-a F-etcd-a2 F-etcd-b F-etcd-c F-etcd-d F-etcd-e F-etcd-f: a minute of faults leaves everybody in agreement",
    () =>
      Effect.gen(function* () {
        const args = ["--expose-gc", "--conditions=muster-source", program, "--minutes", "1", "--seed", "7"]
        const soak = yield* ChildProcess.make(process.execPath, args)
        const output = yield* Stream.mkString(Stream.decodeText(soak.stdout))
        const verdict = yield* Schema.decodeEffect(Verdict)(output.trim().split("\n").at(-1) ?? "")
        assert.deepStrictEqual(verdict.violations, [])
        assert.isTrue(verdict.ok)
        assert.isAtLeast(verdict.checks, 10)
        assert.strictEqual(Number(yield* soak.exitCode), 0)
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    180_000
  )
})
