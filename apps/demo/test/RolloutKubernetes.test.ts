// Rollouts of a Deployment as Kubernetes does them, with real processes under a steady load: no request may fail.
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { fileURLToPath } from "node:url"
import * as Deployment from "./fixtures/Deployment.ts"

const timeout = 120_000

/** What makes a process ignore SIGTERM. */
const deaf = [`--import=${fileURLToPath(new URL("fixtures/deaf.mjs", import.meta.url))}`]

/** maxSurge 1, maxUnavailable 0: a pod is deleted once there is a new one for it, and nobody waits until it is gone. */
const oneAtATime = Effect.gen(function* () {
  const { pods, remove, surge } = yield* Deployment.Deployment
  const old = pods()
  const leaving = yield* Effect.forEach(old, (pod) => Effect.andThen(surge(1), Effect.forkChild(remove(pod))))
  yield* Fiber.joinAll(leaving)
})

/** maxSurge 0, maxUnavailable 50 %: half of the pods are deleted at once, and new ones take their places. */
const halfAtOnce = Effect.gen(function* () {
  const { pods, remove, surge } = yield* Deployment.Deployment
  const old = pods()
  const half = old.length / 2
  for (const some of [old.slice(0, half), old.slice(half)]) {
    const removed = Effect.forEach(some, remove, { concurrency: half, discard: true })
    yield* Effect.all([removed, surge(half)], { concurrency: 2 })
  }
})

/** Rolls under load. */
const judged = (rollout: typeof oneAtATime) =>
  Effect.gen(function* () {
    const deployment = yield* Deployment.Deployment
    return yield* deployment.judged(Effect.provideService(rollout, Deployment.Deployment, deployment))
  })

layer(Deployment.layer, { excludeTestServices: true, timeout })("a rollout on Kubernetes fails no request", (it) => {
  it.effect("F-s8: one pod at a time", () => judged(oneAtATime), { timeout })

  it.effect("F-s8: half of the pods at once", () => judged(halfAtOnce), { timeout })

  it.effect(
    "F-s2, F-s8: with a pod that ignores SIGTERM and is killed at the end of its grace",
    () =>
      Effect.gen(function* () {
        const { pods, remove, surge } = yield* Deployment.Deployment
        yield* surge(1, { node: deaf })
        const one = pods().at(-1)
        yield* remove(pods()[0])
        yield* judged(oneAtATime)
        const ended = one === undefined ? undefined : yield* Effect.flip(one.handle.exitCode)
        assert.match(String(ended?.reason.cause), /SIGKILL/)
      }),
    { timeout }
  )

  it.effect(
    "F-s3, F-s8, F-s10: with a pod that is killed and comes back in its place",
    () =>
      Effect.gen(function* () {
        const { crash, pods } = yield* Deployment.Deployment
        const doomed = pods()[1]
        const crashed = Effect.map(crash(doomed), () => pods().find(({ id }) => id === doomed.id)?.handle.pid)
        const again = Effect.tap(crashed, (pid) => Effect.sync(() => assert.notStrictEqual(pid, doomed.handle.pid)))
        const { lostInKill, retried, told } = yield* judged(Effect.andThen(again, oneAtATime))
        // The first request that finds it dead is sent elsewhere, or lost if it is an order that was under way.
        assert.isAbove(retried + lostInKill, 0, told)
        assert.isAtMost(lostInKill, 20, told)
      }),
    { timeout }
  )
})
