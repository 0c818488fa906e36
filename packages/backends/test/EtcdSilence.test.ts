import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Queue } from "effect"
import { type Client, deadline, heartbeat, impatient, put, timed, why, word, world } from "./fixtures/etcdClient.ts"
import * as EtcdServer from "./fixtures/EtcdServer.ts"
import { changed, instance, reset } from "./RegistryContract.ts"

/** What two busy cores may add to a deadline. */
const slack = 2000
const noticed = Duration.toMillis(heartbeat) * 2 + slack
const answered = Duration.toMillis(deadline) * 2 + slack

const long = Duration.seconds(20)

/** All that a client can ask for, as failures: how long each took and why it failed. */
const everything = ({ follow, registry }: Client, lease: Effect.Success<ReturnType<Client["register"]>>) =>
  Effect.forEach(
    [
      registry.renew(lease),
      registry.update(lease, instance(1)),
      registry.revoke(lease),
      registry.register(instance(2), long),
      Effect.scoped(Effect.flatMap(follow(), Queue.take))
    ],
    (call) => timed(why(call)),
    { concurrency: "unbounded" }
  )

describe.skipIf(EtcdServer.isMissing)("an etcd that is silent", () => {
  it.live("F-etcd-a2: a stopped server is noticed within two heartbeats, and no call outlives its deadline", () =>
    Effect.gen(function* () {
      const { client, server } = yield* world(impatient)
      const lease = yield* client.registry.register(instance(1), long)
      const queue = yield* client.follow()
      const { cursor } = yield* reset(queue)
      yield* server.pause
      const [silence, tag] = yield* timed(why(Queue.take(queue)))
      assert.strictEqual(tag, "TimedOut")
      assert.isAtMost(silence, noticed)
      for (const [took, tag] of yield* everything(client, lease)) {
        assert.strictEqual(tag, "TimedOut")
        assert.isAtMost(took, answered)
      }
      yield* server.resume
      yield* server.ready
      yield* client.registry.renew(lease)
      assert.strictEqual(word(yield* Effect.flatMap(client.follow(cursor), Queue.take)), "Resumed")
    })
  )

  it.live("F-etcd-a2: the two heartbeats are counted from the last sign of life, not from the next look", () =>
    Effect.gen(function* () {
      const beat = Duration.seconds(4)
      const { client, operator, server } = yield* world({ deadline, heartbeat: beat })
      const queue = yield* client.follow()
      yield* reset(queue)
      yield* put(operator, 1)
      yield* changed(queue)
      yield* server.pause
      const [silence] = yield* timed(why(Queue.take(queue)))
      assert.isAtMost(silence, Duration.toMillis(beat) * 2 + slack)
    })
  )

  for (const direction of ["toServer", "toClient"] as const) {
    it.live(`F-etcd-d: a link that swallows everything ${direction} is noticed, and left once it heals`, () =>
      Effect.gen(function* () {
        const { client, operator, proxy } = yield* world(impatient)
        const lease = yield* client.registry.register(instance(1), long)
        const queue = yield* client.follow()
        yield* reset(queue)
        yield* proxy.blackHole(direction)
        const [silence, tag] = yield* timed(why(Queue.take(queue)))
        assert.strictEqual(tag, "TimedOut")
        assert.isAtMost(silence, noticed)
        const renewal = yield* timed(why(client.registry.renew(lease)))
        assert.strictEqual(renewal[1], "TimedOut")
        assert.isAtMost(renewal[0], answered)
        yield* put(operator, 2)
        yield* proxy.heal
        yield* client.registry.renew(lease)
        const again = yield* client.follow()
        assert.strictEqual((yield* reset(again)).endpoints.length, 2)
        yield* put(operator, 3)
        assert.strictEqual(word(yield* changed(again)), "+i-3")
      })
    )
  }

  it.live("F-etcd-d: opening a watch on a link that swallows everything fails at the deadline", () =>
    Effect.gen(function* () {
      const { client, proxy } = yield* world(impatient)
      yield* proxy.blackHole()
      const [took, tag] = yield* timed(why(Effect.scoped(Effect.flatMap(client.follow(), Queue.take))))
      assert.strictEqual(tag, "TimedOut")
      assert.isAtMost(took, answered)
    })
  )

  it.live("F-etcd-d: however often it tries a link that never answers, no connection stays behind", () =>
    Effect.gen(function* () {
      const { client, proxy } = yield* world(impatient)
      yield* proxy.blackHole("toClient")
      for (let n = 1; n <= 3; n++) {
        assert.strictEqual(yield* why(client.registry.register(instance(1), long)), "TimedOut")
        assert.isAtLeast(proxy.connections().ever, n)
        yield* Effect.repeat(Effect.sleep(10), { until: () => proxy.connections().open === 0 })
      }
    })
  )

  it.live("F-etcd-o: a registry that takes longer than the deadline fails each call in time and piles up nothing", () =>
    Effect.gen(function* () {
      const { client, operator, proxy } = yield* world(impatient)
      const lease = yield* client.registry.register(instance(1), long)
      yield* proxy.delay(Duration.toMillis(deadline) * 2)
      for (let n = 0; n < 3; n++) {
        for (const [took, tag] of yield* everything(client, lease)) {
          assert.strictEqual(tag, "TimedOut")
          assert.isAtMost(took, answered)
        }
        assert.isAtMost(proxy.connections().open, 3)
      }
      yield* proxy.heal
      yield* client.registry.register(instance(1), long)
      const queue = yield* client.follow()
      assert.strictEqual((yield* reset(queue)).endpoints.length, 1)
      yield* put(operator, 3)
      assert.strictEqual(word(yield* changed(queue)), "+i-3")
    })
  )

  it.live("F-etcd-o: a registry that answers just in time is a healthy one", () =>
    Effect.gen(function* () {
      const { client, proxy } = yield* world({ deadline: Duration.seconds(5), heartbeat: Duration.seconds(2) })
      yield* proxy.delay(500)
      const lease = yield* client.registry.register(instance(1), long)
      yield* client.registry.renew(lease)
      const queue = yield* client.follow()
      assert.strictEqual((yield* reset(queue)).endpoints.length, 1)
      yield* client.registry.revoke(lease)
      assert.strictEqual(word(yield* changed(queue)), "-i-1")
    })
  )
})
