import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, HashMap, Layer, Queue, Schedule, Stream } from "effect"
import { Policy, Snapshot } from "@muster/core"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import * as EtcdServer from "../../backends/test/fixtures/EtcdServer.ts"
import { follower, ttl } from "./fixtures/etcdWorld.ts"

const program = fileURLToPath(new URL("./fixtures/etcdRegistrant.ts", import.meta.url))

/** A registrant as a process of its own: what it says, and signals for it. */
const registrant = Effect.fnUntraced(function* (host: string) {
  const lines = yield* Queue.unbounded<string>()
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, ["--conditions=muster-source", program, host], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      createInterface(child.stdout).on("line", (line) => Queue.offerUnsafe(lines, line))
      return child
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  return {
    send: (signal: NodeJS.Signals) => Effect.sync(() => child.kill(signal)),
    /** Everything it says up to this. */
    upTo: (word: string) =>
      Stream.fromQueue(lines).pipe(
        Stream.takeUntil((line) => line === word),
        Stream.runCollect
      )
  }
})

describe.skipIf(EtcdServer.isMissing)("leases that run out in etcd", () => {
  it.live(
    "F-etcd-h: a process that slept past its time to live loses once, and is back under its id with one lease",
    () =>
      Effect.gen(function* () {
        const server = yield* EtcdServer.make()
        const operator = yield* EtcdServer.operator([server.address])
        const view = yield* follower([server.address])
        const child = yield* registrant(server.address)
        yield* child.upTo("Granted")
        yield* view.settled(1)
        yield* child.send("SIGSTOP")
        yield* Effect.promise(() => operator.getAll().prefix("muster/").count()).pipe(
          Effect.repeat({ schedule: Schedule.spaced("50 millis"), until: (count) => count === 0 })
        )
        yield* child.send("SIGCONT")
        const said = yield* child.upTo("Granted")
        assert.deepStrictEqual(
          said.filter((tag) => tag === "LeaseLost" || tag === "Granted"),
          ["LeaseLost", "Granted"]
        )
        yield* view.settled(1)
        assert.strictEqual(Snapshot.endpoints(view.snapshot())[0]?.id, "i-0")
        const { leases } = yield* Effect.promise(() => operator.leaseClient.leaseLeases())
        assert.strictEqual(leases.length, 1)
      })
  )

  it.live(
    "F-etcd-j: of 3 000 that expire at once the guard holds those beyond its threshold, until it is sure",
    () =>
      Effect.gen(function* () {
        const server = yield* EtcdServer.make()
        const operator = yield* EtcdServer.operator([server.address])
        const guard = { window: Duration.seconds(10), fraction: 0.5, minimum: 2, maxHold: Duration.seconds(60) }
        const view = yield* follower(
          [server.address],
          Layer.succeed(Policy.MassRemoval, { ...guard, confirmAfter: Duration.times(ttl, 2) })
        )
        yield* view.settled(0)
        // However long it takes to write them, all end at once.
        const end = Date.now() + 15_000
        yield* Effect.promise(async () => {
          for (let page = 0; page < 30; page++) {
            const granted = await Promise.all(
              Array.from({ length: 100 }, () =>
                operator.leaseClient.leaseGrant({ TTL: Math.ceil((end - Date.now()) / 1000) })
              )
            )
            const success = granted.map(({ ID }, n) => {
              const id = `i-${page * 100 + n}`
              const value = JSON.stringify({ service: "orders", id, host: "127.0.0.1", port: 1 + page * 100 + n })
              return { request_put: { key: Buffer.from(`muster/orders/${id}`), value: Buffer.from(value), lease: ID } }
            })
            await operator.kv.txn({ success })
          }
        })
        yield* view.until((state) => state._tag === "Live" && Snapshot.size(state.snapshot) === 3000)
        view.sizes.length = 0
        yield* Effect.promise(() => operator.getAll().prefix("muster/").count()).pipe(
          Effect.repeat({ schedule: Schedule.spaced("50 millis"), until: (count) => count === 0 })
        )
        yield* view.until((state) => state._tag === "Live" && HashMap.size(state.held) >= 1500)
        assert.isAtLeast(Math.min(...view.sizes), 1500)
        yield* view.settled(0)
      }),
    120_000
  )
})
