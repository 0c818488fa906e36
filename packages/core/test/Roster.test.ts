import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Attempt, type Change, type Endpoint, Health, Load, Outcome, Roster, Snapshot } from "@muster/core"
import { delta, id, Move } from "./fixtures/arbitrary.ts"
import { defaults, endpoint, epoch } from "./fixtures/instances.ts"
import { seeded } from "./fixtures/seeded.ts"
import { record } from "./fixtures/measured.ts"

/** A roster, a clock and a list that the test moves. */
const setUp = (...endpoints: ReadonlyArray<Endpoint.Endpoint>) => setUpWith(defaults, ...endpoints)

const setUpWith = (options: Roster.Options, ...endpoints: ReadonlyArray<Endpoint.Endpoint>) => {
  const events: Array<Roster.Event> = []
  const roster = Roster.make(options, (event) => events.push(event))
  const random = seeded(11)
  const world = { now: 0, snapshot: Snapshot.make(endpoints) }
  const follow = () => Roster.apply(roster, world.snapshot, world.now, epoch + world.now)
  follow()
  const change = (...deltas: ReadonlyArray<Change.Delta>) => {
    world.snapshot = Snapshot.apply(world.snapshot, deltas)
    follow()
  }
  return {
    roster,
    events,
    world,
    random,
    put: (...endpoints: ReadonlyArray<Endpoint.Endpoint>) =>
      change(...endpoints.map((endpoint): Change.Delta => ({ _tag: "Put", endpoint }))),
    remove: (...ids: ReadonlyArray<string>) =>
      change(...ids.map((name) => ({ _tag: "Removed", id: id(name) }) as const)),
    pick: (after: ReadonlyArray<Attempt.Attempt> = [], repeatable = true) =>
      Attempt.pick(roster, world.now, random, repeatable, after),
    finish: (attempt: Attempt.Attempt, outcome: Outcome.Outcome, after = 20) => {
      world.now += after
      Attempt.settle(roster, attempt, outcome, world.now, random)
      Attempt.end(roster, attempt)
    },
    /** The ids that come up in so many picks. */
    picked: (times = 200) => {
      const seen = new Set<string>()
      for (let n = 0; n < times; n++) {
        const attempt = Attempt.pick(roster, world.now, random, true)
        if (attempt === undefined) continue
        seen.add(attempt.member.id)
        Attempt.end(roster, attempt)
      }
      return [...seen].toSorted().join("")
    }
  }
}

type World = ReturnType<typeof setUp>

/** Picks until it is this instance's turn. */
const attemptOn = ({ pick, roster }: World, name: string): Attempt.Attempt => {
  const others: Array<Attempt.Attempt> = []
  for (let n = 0; n < 1000; n++) {
    const attempt = pick()
    if (attempt === undefined) break
    if (attempt.member.id === name) {
      for (const other of others) Attempt.end(roster, other)
      return attempt
    }
    others.push(attempt)
  }
  throw new Error(`${name} was never picked`)
}

const eject = (world: World, name: string) => {
  const attempt = attemptOn(world, name)
  world.finish(attempt, Outcome.refused, 1)
}

const healthOf = ({ roster }: World, name: string) => roster.members.get(id(name))?.health

const three = [endpoint("a", { port: 1 }), endpoint("b", { port: 2 }), endpoint("c", { port: 3 })]

describe("Roster", () => {
  it("follows the list, and says who joined and left", () => {
    const world = setUp(...three)
    assert.strictEqual(world.picked(), "abc")
    world.remove("b")
    world.put(endpoint("d", { port: 4 }))
    assert.strictEqual(world.picked(1000), "acd")
    assert.deepStrictEqual(
      world.events.map((event) => `${event._tag} ${event.endpoint.id}`),
      ["Joined a", "Joined b", "Joined c", "Left b", "Joined d"]
    )
  })

  it.prop(
    "has the same members and candidates as the list, however many versions it missed",
    [Schema.Array(Schema.Tuple([Schema.Array(Move), Schema.Boolean]))],
    ([revisions]) => {
      const roster = Roster.make(defaults, () => undefined)
      let snapshot = Snapshot.empty
      for (const [revision, isSeen] of revisions) {
        snapshot = Snapshot.apply(snapshot, revision.map(delta))
        if (isSeen) Roster.apply(roster, snapshot, 0, epoch)
      }
      Roster.apply(roster, snapshot, 0, epoch)
      const listed = Snapshot.endpoints(snapshot)
      assert.deepStrictEqual([...roster.members.keys()].toSorted(), listed.map(({ id }) => id).toSorted())
      assert.strictEqual(Roster.size(roster), new Set(listed.map(({ address }) => address)).size)
    }
  )

  it("takes a draining instance only when nothing else is left", () => {
    const world = setUp(...three)
    world.put(endpoint("a", { port: 1, draining: true }))
    assert.strictEqual(world.picked(), "bc")
    world.remove("b", "c")
    assert.strictEqual(world.picked(), "a")
    world.put(endpoint("b", { port: 2, weight: 0 }))
    assert.strictEqual(world.picked(), "ab")
    world.put(endpoint("a", { port: 1 }))
    assert.strictEqual(world.picked(), "a")
  })

  it("counts one address once; the instance that started last has it, and the other comes back when that one leaves", () => {
    const world = setUp(endpoint("a", { port: 1, startedAt: 1 }), endpoint("b", { port: 1, startedAt: 2 }))
    assert.strictEqual(Roster.size(world.roster), 1)
    assert.strictEqual(world.picked(), "b")
    world.put(endpoint("b", { port: 1, startedAt: 2, draining: true }))
    assert.strictEqual(world.picked(), "b")
    world.remove("b")
    assert.strictEqual(world.picked(), "a")
  })

  it("F-s10: an instance on the address of a dead one, with another id, inherits nothing from it", () => {
    const world = setUp(endpoint("a", { port: 1 }), endpoint("b", { port: 2 }))
    eject(world, "a")
    assert.strictEqual(world.picked(), "b")
    world.put(endpoint("z", { port: 1 }))
    assert.strictEqual(healthOf(world, "z")?._tag, "Warming")
    world.remove("a")
    world.world.now += 10_000
    assert.strictEqual(world.picked(), "bz")
  })

  it("F-s10: an instance that moves to another address keeps what was learned of it and what is in flight", () => {
    const world = setUp(endpoint("a", { port: 1 }), endpoint("b", { port: 2 }))
    const attempt = attemptOn(world, "a")
    const { endpoint: before, slot } = attempt.member
    world.put(endpoint("a", { port: 9 }))
    assert.strictEqual(world.roster.members.get(id("a"))?.slot, slot)
    assert.isAbove(Load.requestsInFlight(world.roster.load, slot), 0)
    assert.strictEqual(before.port, 1)
    assert.strictEqual(attemptOn(world, "a").member.endpoint.port, 9)
  })

  it("F-m: a probe that is answered by whoever took the address over brings nobody back beside it", () => {
    const world = setUp(endpoint("a", { port: 1 }), endpoint("b", { port: 2 }))
    eject(world, "a")
    world.world.now += 1000
    const probe = world.pick()
    assert.strictEqual(probe?.member.id, "a")
    world.put(endpoint("z", { port: 1, startedAt: epoch }))
    if (probe !== undefined) world.finish(probe, Outcome.succeeded)
    assert.strictEqual(Roster.size(world.roster), 2)
    assert.strictEqual(world.picked(), "bz")
  })

  it("uses the only one there is although it is out, and nobody is to be used in a panic", () => {
    const world = setUpWith({ ...defaults, health: { ...defaults.health, panicBelow: 0 } }, ...three)
    eject(world, "b")
    world.remove("a", "c")
    assert.strictEqual(world.picked(), "b")
  })

  it("F-s10: a process that takes over the id of a dead one starts with a clean slate", () => {
    const world = setUp(endpoint("a", { port: 1, startedAt: 1 }), endpoint("b", { port: 2 }))
    const late = attemptOn(world, "a")
    eject(world, "a")
    world.put(endpoint("a", { port: 9, startedAt: epoch }))
    assert.strictEqual(healthOf(world, "a")?._tag, "Warming")
    world.finish(late, Outcome.failed, 5000)
    assert.strictEqual(Load.failureRate(world.roster.load, attemptOn(world, "a").member.slot, world.world.now), 0)
  })

  it("takes an instance out at the first refused connection, and lets one request find out whether it is back", () => {
    const world = setUp(...three)
    eject(world, "b")
    assert.strictEqual(healthOf(world, "b")?._tag, "Ejected")
    assert.strictEqual(world.picked(), "ac")
    world.world.now += 1000
    const probe = world.pick()
    assert.isTrue(probe?.isProbe)
    assert.strictEqual(probe?.member.id, "b")
    assert.strictEqual(world.picked(), "ac", "one probe at a time")
    if (probe !== undefined) world.finish(probe, Outcome.succeeded)
    assert.strictEqual(healthOf(world, "b")?._tag, "Warming")
    world.world.now += 4000
    world.finish(attemptOn(world, "b"), Outcome.succeeded)
    assert.strictEqual(healthOf(world, "b")?._tag, "Healthy")
    assert.deepStrictEqual(
      world.events.flatMap((event) => (event._tag === "HealthChanged" ? [event.health._tag] : [])),
      ["Ejected", "Probing", "Warming", "Healthy"]
    )
  })

  it("stays with its judgement of an ejected instance when answers to older requests arrive", () => {
    const world = setUp(...three)
    const older = [attemptOn(world, "b"), attemptOn(world, "b"), attemptOn(world, "b")]
    eject(world, "b")
    world.finish(older[0], Outcome.succeeded)
    assert.strictEqual(healthOf(world, "b")?._tag, "Ejected")
    world.world.now += 1000
    const probe = world.pick()
    world.finish(older[1], Outcome.failed)
    world.finish(older[2], Outcome.succeeded)
    assert.strictEqual(healthOf(world, "b")?._tag, "Probing")
    if (probe !== undefined) world.finish(probe, Outcome.failed)
    const health = healthOf(world, "b")
    assert.strictEqual(health?._tag === "Ejected" ? health.attempt : 0, 2)
  })

  it("forgets what made it judge so once the instance is well again", () => {
    const world = setUp(...three)
    const hanging = [1, 2, 3, 4, 5].map(() => attemptOn(world, "b"))
    world.world.now += 2000
    for (const attempt of hanging) world.finish(attempt, Outcome.failed, 0)
    assert.strictEqual(healthOf(world, "b")?._tag, "Ejected")
    world.world.now += 1000
    const probe = world.pick()
    if (probe !== undefined) world.finish(probe, Outcome.succeeded)
    assert.strictEqual(Load.failureRate(world.roster.load, hanging[0].member.slot, world.world.now), 0)
    assert.isAtMost(Load.latency(world.roster.load, hanging[0].member.slot, world.world.now), 30)
  })

  it("does not bring an instance that left back when its probe is answered", () => {
    const world = setUp(...three)
    eject(world, "b")
    world.world.now += 1000
    const probe = world.pick()
    world.remove("b")
    if (probe !== undefined) world.finish(probe, Outcome.succeeded)
    assert.strictEqual(Roster.size(world.roster), 2)
    assert.strictEqual(world.picked(), "ac")
  })

  it("retries on an instance that came where one that was tried left", () => {
    const world = setUp(endpoint("a"))
    const first = attemptOn(world, "a")
    world.remove("a")
    world.finish(first, Outcome.failed)
    world.put(endpoint("b"))
    assert.strictEqual(world.pick([first])?.member.id, "b")
  })

  it("F-c1: an interrupted probe decides nothing, and the next request probes again", () => {
    const world = setUp(...three)
    eject(world, "b")
    world.world.now += 1000
    const probe = world.pick()
    if (probe !== undefined) world.finish(probe, Outcome.interrupted)
    assert.strictEqual(healthOf(world, "b")?._tag, "Ejected")
    assert.strictEqual(world.pick()?.member.id, "b")
  })

  it("F-c1: a probe that is given up after longer than an answer takes has failed: one that hangs is not asked at once", () => {
    const world = setUp(...three)
    for (const name of ["a", "c"]) {
      for (const attempt of [attemptOn(world, name), attemptOn(world, name)]) world.finish(attempt, Outcome.succeeded)
    }
    eject(world, "b")
    for (let probes = 1; probes <= 5; probes++) {
      const health = healthOf(world, "b")
      world.world.now = health?._tag === "Ejected" ? health.until : Number.NaN
      const probe = world.pick()
      assert.isTrue(probe?.isProbe)
      world.world.now += 500
      if (probe !== undefined) world.finish(probe, Outcome.interrupted)
      const after = healthOf(world, "b")
      assert.isTrue(after?._tag === "Ejected" && after.attempt === probes + 1 && after.until > world.world.now)
      assert.isFalse(world.pick([], false)?.isProbe)
    }
  })

  it("loses no instance to a policy that dies while those that were tried stand aside", () => {
    const world = setUp(...three)
    const first = attemptOn(world, "a")
    const dies = { ...world.roster, options: { ...world.roster.options, policy: () => assert.fail("a bug") } }
    assert.throws(() => Attempt.pick(dies, world.world.now, world.random, true, [first]), "a bug")
    Attempt.end(world.roster, first)
    assert.strictEqual(world.picked(), "abc")
  })

  it("keeps requests that cannot be sent again from probing for as long again", () => {
    const world = setUp(...three)
    eject(world, "b")
    const health = healthOf(world, "b")
    const delay = health?._tag === "Ejected" ? health.until - health.since : 0
    world.world.now += delay
    for (let n = 0; n < 50; n++) assert.isFalse(world.pick([], false)?.isProbe)
    world.world.now += delay
    assert.isTrue(world.pick([], false)?.isProbe)
  })

  it("F-c1: a request that cannot be sent again is not the next one to probe after a probe that was given up", () => {
    const world = setUp(...three)
    eject(world, "b")
    world.world.now += 5000
    for (let probes = 0; probes < 3; probes++) {
      const probe = world.pick()
      assert.isTrue(probe?.isProbe, "others probe at once")
      if (probe !== undefined) world.finish(probe, Outcome.interrupted, 1)
      for (let n = 0; n < 50; n++) assert.isFalse(world.pick([], false)?.isProbe)
    }
    world.world.now += 999
    assert.isFalse(world.pick([], false)?.isProbe)
    world.world.now += 1
    assert.isTrue(world.pick([], false)?.isProbe)
  })

  it("takes out at most a tenth, and spares the others by their cost", () => {
    const many = Array.from({ length: 20 }, (_, n) => endpoint(`i${n}`, { port: 1 + n }))
    const world = setUp(...many)
    for (const { id } of many.slice(0, 6)) {
      const attempt = attemptOn(world, id)
      for (let failure = 0; failure < 6; failure++)
        Attempt.settle(world.roster, attempt, Outcome.failed, 0, world.random)
      Attempt.end(world.roster, attempt)
    }
    assert.strictEqual(world.roster.ejected.size, 2)
    assert.isBelow(world.picked(1000).match(/i[0-5](?!\d)/g)?.length ?? 0, 5)
  })

  it("uses the ejected ones as well while less than half are in use, and still probes them", () => {
    const many = Array.from({ length: 20 }, (_, n) => endpoint(`i${n}`, { port: 1 + n }))
    const world = setUp(...many)
    eject(world, "i0")
    eject(world, "i1")
    world.remove(...many.slice(3).map(({ id }) => id))
    assert.strictEqual(world.roster.panic, true)
    assert.strictEqual(world.roster.inUse.size, 3)
    world.world.now += 1000
    assert.isTrue(world.pick()?.isProbe)
    world.put(...many.slice(3))
    assert.strictEqual(world.roster.panic, false)
    assert.strictEqual(world.roster.inUse.size, 18)
  })

  it("F-s11: never takes the only instance out", () => {
    const world = setUp(endpoint("a"))
    for (let failure = 0; failure < 50; failure++) world.finish(attemptOn(world, "a"), Outcome.refused)
    assert.strictEqual(world.picked(), "a")
    assert.strictEqual(world.pick([attemptOn(world, "a")]), undefined)
  })

  it("uses the last one that is left although it was ejected", () => {
    const world = setUp(...three)
    eject(world, "b")
    world.remove("a", "c")
    assert.strictEqual(world.picked(), "b")
  })

  it("retries elsewhere; on what is ejected or draining rather than not at all; and not where it was told to stay away", () => {
    const world = setUp(
      endpoint("a", { port: 1 }),
      endpoint("b", { port: 2 }),
      endpoint("d", { port: 4, draining: true })
    )
    eject(world, "b")
    const first = attemptOn(world, "a")
    const second = world.pick([first])
    assert.strictEqual(second?.member.id, "b")
    if (second === undefined) return
    const third = world.pick([first, second])
    assert.strictEqual(third?.member.id, "d")
    if (third === undefined) return
    assert.strictEqual(world.pick([first, second, third]), undefined)
    assert.strictEqual(world.picked(), "a", "those that stepped aside are back")

    world.finish(third, { _tag: "PushedBack", retryAfter: 5000 })
    world.finish(first, Outcome.failed)
    world.finish(second, Outcome.failed)
    assert.strictEqual(world.pick([first, second]), undefined)
    world.finish(first, Outcome.refused)
    world.finish(second, Outcome.refused)
    assert.strictEqual(world.pick([first, second])?.member.id, "d")
  })

  it("retries on the one instance that has not asked to be left alone, whomever the policy draws", () => {
    const world = setUp(...three, endpoint("d", { port: 4 }))
    const first = attemptOn(world, "a")
    for (const name of ["b", "c"]) world.finish(attemptOn(world, name), { _tag: "PushedBack", retryAfter: 5000 })
    world.finish(first, Outcome.failed)
    for (let n = 0; n < 100; n++) assert.strictEqual(world.pick([first])?.member.id, "d")
    assert.strictEqual(world.roster.inUse.size, 4, "those that stepped aside are back")
  })

  it("leaves a zone that asked to be left alone for those that have not, and one that fails is not asked instead", () => {
    const six = ["a0", "a1", "a2", "b0", "b1", "b2"]
    const options = { ...defaults, zones: { ...defaults.zones, own: "a", minimumSize: 6 } }
    const world = setUpWith(options, ...six.map((name, n) => endpoint(name, { port: 1 + n, zone: name[0] })))
    assert.strictEqual(world.picked(), "a0a1a2")
    const answer = (name: string, outcome: Outcome.Outcome) => {
      const slot = world.roster.members.get(id(name))?.slot ?? Number.NaN
      for (let n = 0; n < 6; n++) record(world.roster.load, slot, outcome, 1, world.world.now)
    }
    for (const name of ["a0", "a1"]) answer(name, { _tag: "PushedBack", retryAfter: 30_000 })
    assert.strictEqual(world.picked(), "a2")
    answer("a2", { _tag: "PushedBack", retryAfter: 30_000 })
    assert.strictEqual(world.picked(), "b0b1b2")
    assert.strictEqual(world.roster.inUse.size, 6, "those that stepped aside are back")
    world.world.now += 30_001
    assert.strictEqual(world.picked(), "a0a1a2")

    for (const name of ["a0", "a1"]) answer(name, { _tag: "PushedBack", retryAfter: 30_000 })
    answer("a2", Outcome.failed)
    assert.strictEqual(world.picked(), "b0b1b2")
  })

  it("asks one that asked to be left alone rather than one that fails and that cannot be taken out", () => {
    const world = setUp(...three, endpoint("d", { port: 4 }))
    eject(world, "d")
    for (const { id, slot } of world.roster.members.values()) {
      if (id === "d") continue
      const outcome: Outcome.Outcome = id === "b" ? Outcome.failed : { _tag: "PushedBack", retryAfter: 5000 }
      for (let answer = 0; answer < 6; answer++) record(world.roster.load, slot, outcome, 1, world.world.now)
    }
    assert.strictEqual(world.picked(), "ac")
  })

  it("F-c1: a probe that is given up at once decides nothing, however long ago the answers began", () => {
    const world = setUp(...three)
    for (let n = 0; n < 3000; n++) {
      const attempt = world.pick()
      if (attempt !== undefined) world.finish(attempt, Outcome.succeeded, 200)
    }
    eject(world, "b")
    world.world.now += 1000
    const probe = world.pick()
    assert.isTrue(probe?.isProbe)
    if (probe !== undefined) world.finish(probe, Outcome.interrupted, 1)
    const health = healthOf(world, "b")
    assert.deepStrictEqual(health?._tag === "Ejected" ? [health.attempt, health.until] : health, [1, world.world.now])
  })

  it("F-c1: a probe that is given up at once decides nothing, however long nothing was asked before", () => {
    for (const idle of [2000, 30_000, 120_000, 600_000]) {
      const world = setUp(...three)
      for (let n = 0; n < 300; n++) {
        const attempt = world.pick()
        if (attempt !== undefined) world.finish(attempt, Outcome.succeeded, 18)
      }
      eject(world, "b")
      world.world.now += idle
      const probe = world.pick()
      assert.isTrue(probe?.isProbe)
      if (probe !== undefined) world.finish(probe, Outcome.interrupted, 5)
      assert.deepInclude(healthOf(world, "b"), { _tag: "Ejected", attempt: 1, until: world.world.now }, `after ${idle}`)
      const again = world.pick()
      assert.isTrue(again?.isProbe)
      if (again !== undefined) world.finish(again, Outcome.interrupted, 40)
      assert.deepInclude(healthOf(world, "b"), { _tag: "Ejected", attempt: 2 }, `late after ${idle}`)
    }
  })

  it("F-c1: a probe that hangs is late also where nothing is known of anybody else", () => {
    const world = setUp(endpoint("a", { port: 1 }))
    for (let n = 0; n < 4; n++) world.finish(attemptOn(world, "a"), Outcome.succeeded, 18)
    world.put(endpoint("b", { port: 2 }))
    eject(world, "a")
    world.world.now += 1000
    for (let probes = 1; probes <= 2; probes++) {
      const probe = world.pick()
      assert.isTrue(probe?.isProbe)
      if (probe !== undefined) world.finish(probe, Outcome.interrupted, 1000)
      assert.deepInclude(healthOf(world, "a"), { _tag: "Ejected", attempt: 1 + probes })
      world.world.now += 10_000
    }
  })

  it("F-c1: counts nothing in flight once every attempt has ended, however often and whenever it ends", () => {
    const world = setUp(...three)
    const random = seeded(2)
    const open: Array<Attempt.Attempt> = []
    for (let n = 0; n < 2000; n++) {
      const attempt = world.pick()
      if (attempt !== undefined) open.push(attempt)
      if (n % 100 === 50) world.remove("b")
      if (n % 100 === 0) world.put(endpoint("b", { port: 2 }))
      if (random() < 0.5) continue
      for (const attempt of open.splice(0)) {
        world.finish(attempt, Outcome.interrupted, 0)
        Attempt.end(world.roster, attempt)
      }
    }
    for (const attempt of open) Attempt.end(world.roster, attempt)
    assert.strictEqual(world.roster.load.inFlight, 0)
    for (const { slot } of world.roster.members.values()) {
      assert.strictEqual(Load.requestsInFlight(world.roster.load, slot), 0)
    }
    assert.isTrue(world.events.every((event) => event._tag !== "HealthChanged"))
  })

  it("does not take the length of a broken answer for its latency", () => {
    const world = setUp(endpoint("a"))
    const attempt = attemptOn(world, "a")
    world.finish(attempt, Outcome.succeeded)
    world.finish(attempt, Outcome.failed, 3_600_000)
    assert.isBelow(Load.latency(world.roster.load, attempt.member.slot, world.world.now), 100)
    assert.strictEqual(Load.evidence(world.roster.load, attempt.member.slot).streak, 1)
  })

  it("warms up from the registered start, but nobody started later than we saw it", () => {
    const world = setUp(
      endpoint("old", { port: 1, startedAt: epoch - 60_000 }),
      endpoint("young", { port: 2, startedAt: epoch - 4000 }),
      endpoint("future", { port: 3, startedAt: epoch + 3_600_000 }),
      endpoint("unknown", { port: 4 })
    )
    assert.deepStrictEqual(healthOf(world, "old"), Health.healthy)
    assert.deepStrictEqual(healthOf(world, "young"), { _tag: "Warming", since: -4000, until: 6000 })
    assert.deepStrictEqual(healthOf(world, "future"), { _tag: "Warming", since: 0, until: 10_000 })
    assert.deepStrictEqual(healthOf(world, "unknown"), Health.healthy)
    world.world.now = 500
    world.put(endpoint("later", { port: 5 }))
    assert.deepStrictEqual(healthOf(world, "later"), { _tag: "Warming", since: 500, until: 10_500 })
  })

  it("F-c4: follows 1 000 changes a second of 10 000 endpoints in time proportional to the change, in bounded memory", () => {
    const world = setUp(...Array.from({ length: 10_000 }, (_, n) => endpoint(`i${n}`, { port: 1 + n })))
    const { roster } = world
    for (let change = 0; change < 5000; change++) {
      world.world.now += 1
      world.remove(`i${change}`)
      world.put(endpoint(`j${change}`, { port: 20_000 + change }))
      const attempt = world.pick()
      if (attempt !== undefined) world.finish(attempt, Outcome.succeeded, 0)
    }
    assert.strictEqual(Roster.size(roster), 10_000)
    assert.strictEqual(roster.members.size, 10_000)
    assert.isAtMost(roster.load.slots, 10_001)
    assert.isAtMost(roster.byAddress.size, 10_000)
  })
})
