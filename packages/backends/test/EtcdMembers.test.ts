import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Queue, Schedule } from "effect"
import { connect, impatient, leases, type Patience, put, timed, why, word } from "./fixtures/etcdClient.ts"
import * as EtcdServer from "./fixtures/EtcdServer.ts"
import * as TcpProxy from "./fixtures/TcpProxy.ts"
import { changed, instance, reset } from "./RegistryContract.ts"

const long = Duration.seconds(20)
const insist = Schedule.spaced("50 millis")
/** Far above what a healthy member takes on two busy cores, and what every call would take that waits for a sick one. */
const patient = Duration.seconds(6)
const limit = Duration.toMillis(patient)

/** Three members, each behind a proxy of its own, and a client of all three. */
const cluster = Effect.fnUntraced(function* (patience?: Patience) {
  const servers = yield* EtcdServer.cluster(3)
  const members = yield* Effect.forEach(servers, (server) =>
    Effect.map(TcpProxy.make(server.port), (proxy) => ({ server, proxy }))
  )
  const client = yield* connect(
    members.map(({ proxy }) => proxy.address),
    {},
    patience
  )
  const operator = yield* EtcdServer.operator(servers.map(({ address }) => address))
  /** The member that the client talks to, and the others. */
  const used = () => {
    const open = members.filter(({ proxy }) => proxy.connections().open > 0)
    // One that lost the race for the client may still be closing; it was told next to nothing.
    const [one] = open.toSorted((a, b) => b.proxy.passed().toServer - a.proxy.passed().toServer)
    if (one === undefined) throw new Error("not connected")
    return one
  }
  const others = () => {
    const one = used()
    return members.filter((member) => member !== one)
  }
  /** Whether the client talks to another member than this; a connection that it has left may stay open as an idle one. */
  const hasLeft = (one: (typeof members)[number]) =>
    members.some((member) => member !== one && member.proxy.connections().open > 0)
  return { servers, members, client, operator, used, others, hasLeft }
})

describe.skipIf(EtcdServer.isMissing)("an etcd of three", () => {
  it.live("F-etcd-k: one dead and one black-holed member do not delay the start", () =>
    Effect.gen(function* () {
      // A leader that stands still for a moment is no fault here.
      const servers = yield* EtcdServer.cluster(3, { flags: ["--heartbeat-interval=100", "--election-timeout=3000"] })
      const proxies = yield* Effect.forEach(servers, ({ port }) => TcpProxy.make(port))
      yield* proxies[0]?.refuse ?? Effect.void
      yield* proxies[1]?.blackHole() ?? Effect.void
      for (let n = 0; n < 5; n++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const client = yield* connect(
              proxies.map(({ address }) => address),
              {},
              { deadline: patient }
            )
            const [took, queue] = yield* timed(Effect.tap(client.follow(), reset))
            assert.isBelow(took, limit)
            const lease = yield* client.registry.register(instance(n), long)
            assert.strictEqual(word(yield* changed(queue)), `+i-${n}`)
            yield* client.registry.renew(lease)
            // Once the healthy one is found it is kept: no call pays for the others again. A renewal waits for others to
            // go with for up to a sixth of its time.
            const [renewed] = yield* timed(client.registry.renew(lease))
            assert.isBelow(renewed, limit / 2)
            const leases = yield* Effect.forEach([1, 2, 3, 4, 5], (m) =>
              client.registry.register(instance(10 * n + m + 10), long)
            )
            const [all] = yield* timed(Effect.forEach(leases, client.registry.renew, { concurrency: "unbounded" }))
            assert.isBelow(all, limit)
            const [updated] = yield* timed(Effect.replicateEffect(client.registry.update(lease, instance(n)), 5))
            assert.isBelow(updated, limit)
          })
        )
      }
    })
  )

  it.live("F-etcd-k: a member that hangs costs one deadline, not one for each call", () =>
    Effect.gen(function* () {
      const { client, hasLeft, used } = yield* cluster({ deadline: Duration.seconds(2) })
      const lease = yield* client.registry.register(instance(1), long)
      const hung = used()
      yield* hung.server.pause
      yield* Effect.flip(client.registry.renew(lease))
      const [took] = yield* timed(Effect.replicateEffect(client.registry.renew(lease), 5))
      assert.isBelow(took, 4000)
      assert.isTrue(hasLeft(hung))
      yield* hung.server.resume
    })
  )

  it.live("F-etcd-e: leaves a member that dies for another one within the call", () =>
    Effect.gen(function* () {
      const { client, hasLeft, used } = yield* cluster()
      const lease = yield* client.registry.register(instance(1), long)
      const dead = used()
      yield* dead.server.kill
      yield* Effect.retry(client.registry.update(lease, instance(1, { weight: 2 })), { schedule: insist, times: 100 })
      assert.isTrue(hasLeft(dead))
    })
  )

  it.live("F-etcd-e: keeps lease and watch over the death of the leader", () =>
    Effect.gen(function* () {
      const { client, operator, servers } = yield* cluster()
      const lease = yield* client.registry.register(instance(1), long)
      const { cursor } = yield* Effect.scoped(Effect.flatMap(client.follow(), reset))
      const { header, leader } = yield* Effect.promise(() => operator.maintenance.status())
      const { members } = yield* Effect.promise(() => operator.cluster.memberList({}))
      assert.isDefined(header)
      const name = members.find(({ ID }) => ID === leader)?.clientURLs[0]
      const dead = servers.find(({ address }) => name?.endsWith(address))
      assert.isDefined(dead)
      yield* dead?.kill ?? Effect.void
      yield* Effect.retry(client.registry.renew(lease), { schedule: insist, times: 100 })
      const survivors = servers.filter((server) => server !== dead).map(({ address }) => address)
      const other = yield* EtcdServer.operator(survivors)
      assert.deepStrictEqual(yield* leases(other), [lease.id])
      yield* put(other, 2)
      const said = yield* Effect.scoped(Effect.flatMap(client.follow(cursor), (queue) => Queue.takeN(queue, 2))).pipe(
        Effect.retry({ schedule: insist, times: 100 })
      )
      assert.deepStrictEqual(said.map(word), ["Resumed", "+i-2"])
    })
  )

  it.live("F-etcd-e: a member that lost its quorum ends its watches, and still tells newcomers what it has", () =>
    Effect.gen(function* () {
      const { client, members, others, used } = yield* cluster({ deadline: Duration.seconds(3) })
      const lease = yield* client.registry.register(instance(1), long)
      const queue = yield* client.follow()
      const { cursor } = yield* reset(queue)
      const dead = others()
      yield* Effect.forEach(dead, ({ server }) => server.kill)
      assert.strictEqual(yield* why(Queue.take(queue)), "Unavailable")
      assert.strictEqual(yield* why(client.registry.renew(lease)), "Unavailable")
      assert.strictEqual(members.length, 3)

      // Whoever knows nothing is told what is there, and then why that may be old.
      const newcomer = yield* connect(
        members.map(({ proxy }) => proxy.address),
        {},
        { deadline: Duration.seconds(3) }
      )
      const stale = yield* newcomer.follow()
      assert.deepStrictEqual(
        (yield* reset(stale)).endpoints.map(({ id }) => id),
        [instance(1).id]
      )
      assert.strictEqual(yield* why(Queue.take(stale)), "Unavailable")
      assert.strictEqual(yield* why(newcomer.registry.register(instance(2), long)), "Unavailable")

      yield* Effect.forEach(dead.slice(0, 1), ({ server }) => server.start)
      yield* Effect.retry(client.registry.renew(lease), { schedule: insist, times: 100 })
      const said = yield* Effect.flatMap(client.follow(cursor), Queue.take).pipe(
        Effect.retry({ schedule: insist, times: 100 })
      )
      assert.strictEqual(word(said), "Resumed")
      assert.isDefined(used())
    })
  )

  it.live("F-etcd-e: tells nobody an old state who knows a newer one", () =>
    Effect.gen(function* () {
      const { client, members, operator, others } = yield* cluster(impatient)
      yield* put(operator, 1)
      yield* reset(yield* client.follow())
      // One member misses what comes now, more than the network keeps for it, and is the only one left.
      const [laggard] = others()
      if (laggard === undefined) return assert.fail("nobody else")
      const rest = members.filter((member) => member !== laggard).map(({ server }) => server)
      yield* laggard.server.pause
      const hand = yield* EtcdServer.operator(rest.map(({ address }) => address))
      const filler = Effect.promise(() => hand.put("filler").value(Buffer.alloc(2 ** 20)))
      yield* Effect.retry(Effect.sandbox(filler), { schedule: insist, times: 100 })
      yield* Effect.replicateEffect(filler, 20)
      yield* put(hand, 2)
      assert.strictEqual((yield* Effect.scoped(Effect.flatMap(client.follow(), reset))).endpoints.length, 2)
      yield* Effect.forEach(rest, (server) => server.kill)
      yield* laggard.server.resume
      for (let n = 0; n < 3; n++) {
        const tag = yield* Effect.scoped(Effect.flatMap(client.follow(), (queue) => why(Queue.take(queue))))
        assert.include(["Unavailable", "TimedOut"], tag)
      }
    })
  )

  it.live("F-etcd-k: with all of them dead every call says so at once, and later at its deadline", () =>
    Effect.gen(function* () {
      const { client, servers } = yield* cluster({ deadline: Duration.seconds(3) })
      yield* Effect.forEach(servers, ({ kill }) => kill)
      const [first, tag] = yield* timed(why(client.registry.register(instance(1), long)))
      assert.strictEqual(tag, "Unavailable")
      assert.isBelow(first, 2000)
      const [second, again] = yield* timed(why(client.registry.register(instance(1), long)))
      assert.strictEqual(again, "Unavailable")
      assert.isBelow(second, 5000)
      yield* Effect.forEach(servers, ({ launch }) => launch)
      yield* Effect.retry(client.registry.register(instance(1), long), { schedule: insist, times: 100 })
    })
  )
})
