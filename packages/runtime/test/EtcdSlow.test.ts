/**
 * A registrar on an etcd that takes its time over every write: scripted, on the real wire and on the test's clock.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Queue, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Etcd from "@muster/backends/Etcd"
import { Registrar } from "@muster/runtime"
import * as ScriptedEtcd from "../../backends/test/fixtures/scriptedEtcd.ts"

const { header } = ScriptedEtcd

describe("a slow etcd", () => {
  it.effect("F-etcd-o: a server is registered although each write takes nearly as long as a call may", () =>
    Effect.gen(function* () {
      const asked = yield* Queue.unbounded<string>()
      const answers = yield* Queue.unbounded<object>()
      const write = (name: string) => Effect.andThen(Queue.offer(asked, name), Queue.take(answers))
      const server = yield* ScriptedEtcd.make({ grant: write("grant"), txn: write("txn"), revoke: write("revoke") })
      const etcd = yield* Layer.build(Etcd.layer({ hosts: [server.address] }))
      const scope = yield* Scope.make()
      // Nobody waits for the drain.
      yield* Effect.addFinalizer(() => Effect.forkDetach(Scope.close(scope, Exit.void)))
      const context = yield* Registrar.serve(Layer.empty, {
        service: "orders",
        id: "a",
        advertise: { host: "127.0.0.1", port: 4000 }
      }).pipe(Layer.buildWithScope(scope), Effect.provideContext(etcd))

      /** The next write is this one, and is answered after most of the time that a call has. */
      const answer = Effect.fnUntraced(function* (name: string, what: object) {
        assert.strictEqual(yield* Queue.take(asked), name)
        yield* TestClock.adjust("2900 millis")
        yield* Queue.offer(answers, { header, ...what })
      })
      yield* answer("grant", { TTL: "10" })
      // An entry that a predecessor left, and that is then written over.
      const left = { key: Buffer.from("muster/orders/a"), value: Buffer.from("{}"), lease: "0", mod_revision: "5" }
      yield* answer("txn", { succeeded: false, responses: [{ response_range: { kvs: [left] } }] })
      yield* answer("txn", { succeeded: true })
      yield* Context.get(context, Registrar.Registrar).registered
    })
  )
})
