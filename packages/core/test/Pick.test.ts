import { assert, describe, it } from "@effect/vitest"
import { Candidates, Load, LoadReport, Outcome, Pick } from "@muster/core"
import { defaults } from "./fixtures/instances.ts"
import { seeded } from "./fixtures/seeded.ts"
import { record } from "./fixtures/measured.ts"

const setUp = (weights: ReadonlyArray<number>) => {
  const load = Load.make(defaults.load)
  const candidates = Candidates.make()
  for (const weight of weights) Candidates.add(candidates, Load.join(load, weight, 0), weight)
  return { load, candidates }
}

/** Makes the latencies of the instances known, in order. */
const known = (load: Load.Load, ...latencies: ReadonlyArray<number>) => {
  for (const [slot, latency] of latencies.entries()) {
    for (let answer = 0; answer < 5; answer++) record(load, slot, Outcome.succeeded, latency, 0)
  }
}

const shares = (
  policy: Pick.Policy,
  { load, candidates }: ReturnType<typeof setUp>,
  { now = 0, picks = 20_000 }: { readonly now?: number; readonly picks?: number } = {}
) => {
  const random = seeded(5)
  const counts = Array.from({ length: candidates.size }, () => 0)
  for (let n = 0; n < picks; n++) counts[policy(candidates, load, now, random)]++
  return counts.map((count) => count / picks)
}

const seedOf = (index: number) => Math.floor(seeded(index)() * 2 ** 32)

/** Instances whose places on the ring are known to everybody. */
const hashed = (n: number) => {
  const load = Load.make(defaults.load)
  const candidates = Candidates.make()
  for (let index = 0; index < n; index++) Candidates.add(candidates, Load.join(load, 1, 0, seedOf(index)), 1)
  return { load, candidates }
}

const keys = Array.from({ length: 2000 }, (_, index) => `key-${index}`)

const owners = ({ candidates, load }: ReturnType<typeof setUp>) =>
  keys.map((key) => Pick.ringHash(candidates, load, 0, seeded(1), key))

/** What the instances say of themselves at 10 ms, in order: requests in flight and latency. */
const reports = (load: Load.Load, ...said: ReadonlyArray<readonly [inFlight: number, latency: number]>) => {
  for (const [slot, [inFlight, latency]] of said.entries()) {
    Load.start(load, slot)
    LoadReport.note(load, slot, { inFlight, latency }, 10)
    Load.end(load, slot)
  }
}

const ascending = (a: number, b: number) => a - b

describe("Pick", () => {
  it("takes the only one there is", () => {
    for (const policy of [Pick.p2c, Pick.leastLoaded, Pick.roundRobin]) {
      assert.deepStrictEqual(shares(policy, setUp([1])), [1])
    }
  })

  it("p2c takes the cheaper of two, and with two candidates always looks at both", () => {
    const pair = setUp([1, 1])
    known(pair.load, 200, 20)
    assert.deepStrictEqual(shares(Pick.p2c, pair), [0, 1])
  })

  it("p2c never takes the most expensive of three", () => {
    const three = setUp([1, 1, 1])
    known(three.load, 200, 20, 20)
    assert.strictEqual(shares(Pick.p2c, three)[0], 0)
  })

  it("p2c does not hold the latency of an instance that hardly answered yet against it, or for it", () => {
    const pair = setUp([1, 1])
    known(pair.load, 20)
    record(pair.load, 1, Outcome.succeeded, 200, 0)
    assert.approximately(shares(Pick.p2c, pair)[1], 0.5, 0.02)
    record(pair.load, 1, Outcome.succeeded, 200, 0)
    assert.strictEqual(shares(Pick.p2c, pair)[1], 0)
  })

  it("p2c takes costs within the noise for equal, and then follows the weights", () => {
    const near = setUp([1, 1, 2])
    known(near.load, 20, 24, 22)
    const [light, other, heavy] = shares(Pick.p2c, near)
    assert.approximately(light, 0.25, 0.02)
    assert.approximately(other, 0.25, 0.02)
    assert.approximately(heavy, 0.5, 0.02)
  })

  it("p2c leaves a heavy one that fails alone, though it is often drawn twice", () => {
    const uneven = setUp([100, 1, 1])
    for (let failure = 0; failure < 4; failure++) record(uneven.load, 0, Outcome.failed, 1, 0)
    assert.strictEqual(shares(Pick.p2c, uneven)[0], 0)
  })

  it("leastLoaded looks at requests in flight, not at latency", () => {
    const pair = setUp([1, 1])
    known(pair.load, 200, 20)
    Load.start(pair.load, 1)
    assert.deepStrictEqual(shares(Pick.leastLoaded, pair), [1, 0])
  })

  it("roundRobin takes each in turn, also while members come and go", () => {
    const { load, candidates } = setUp([1, 1, 1])
    const turns = Array.from({ length: 6 }, () => Pick.roundRobin(candidates, load, 0, seeded(1)))
    assert.deepStrictEqual(turns.slice(0, 3).toSorted(ascending), [0, 1, 2])
    assert.deepStrictEqual(turns.slice(3), turns.slice(0, 3))
    Candidates.remove(candidates, turns[0])
    assert.strictEqual(new Set([1, 2].map(() => Pick.roundRobin(candidates, load, 0, seeded(1)))).size, 2)
  })

  it("gives a cold instance its growing share although it is the cheaper one of two", () => {
    const pair = setUp([1, 1])
    known(pair.load, 60, 20)
    Load.warm(pair.load, 1, 0, 10_000, 0.1)
    const at = (now: number) => shares(Pick.p2c, pair, { now })[1]
    assert.approximately(at(0), 0.1, 0.02)
    assert.approximately(at(5000), 0.55, 0.02)
    assert.strictEqual(at(10_000), 1)
  })

  it("lets a cold instance help when the others are too busy for what it is spared", () => {
    const pair = setUp([1, 1])
    Load.warm(pair.load, 1, 0, 10_000, 0.1)
    for (let request = 0; request < 5; request++) Load.start(pair.load, 0)
    assert.approximately(shares(Pick.leastLoaded, pair)[1], 0.1, 0.02)
    for (let request = 0; request < 5; request++) Load.start(pair.load, 0)
    assert.strictEqual(shares(Pick.leastLoaded, pair)[1], 1)
  })

  it("does not send the requests that a cold instance is spared to a broken one", () => {
    const three = setUp([1, 1, 1])
    Load.warm(three.load, 2, 0, 10_000, 0.1)
    for (let failure = 0; failure < 4; failure++) record(three.load, 0, Outcome.failed, 1, 0)
    assert.isBelow(shares(Pick.p2c, three)[0], 0.001)
    const pair = setUp([1, 1])
    Load.warm(pair.load, 1, 0, 10_000, 0.1)
    for (let failure = 0; failure < 4; failure++) record(pair.load, 0, Outcome.failed, 1, 0)
    assert.strictEqual(shares(Pick.p2c, pair)[0], 0)
  })

  it("sends them to the best of a few others instead", () => {
    const four = setUp([1, 1, 1, 1])
    known(four.load, 160, 20, 20, 20)
    Load.warm(four.load, 2, 0, 10_000, 0.1)
    Load.warm(four.load, 3, 0, 10_000, 0.1)
    assert.isBelow(shares(Pick.p2c, four)[0], 0.06)
  })

  it("p2c compares two also where weights are uneven", () => {
    const uneven = setUp([1, 2, 4])
    known(uneven.load, 20, 20, 60)
    const heavy = shares(Pick.p2c, uneven)[2]
    assert.isAbove(heavy, 0.2)
    assert.isBelow(heavy, 0.45)
  })

  it("warms everybody up evenly when everybody is cold", () => {
    const cold = setUp([1, 1, 1, 1])
    for (let slot = 0; slot < 4; slot++) Load.warm(cold.load, slot, 0, 10_000, 0.1)
    for (const share of shares(Pick.p2c, cold)) assert.approximately(share, 0.25, 0.02)
  })

  it("roundRobin spares a cold instance too", () => {
    const pair = setUp([1, 1])
    Load.warm(pair.load, 1, 0, 10_000, 0.1)
    assert.approximately(shares(Pick.roundRobin, pair)[1], 0.1, 0.07)
  })

  it("roundRobin and smoothRoundRobin are never more than a few turns away from the exact shares", () => {
    for (const policy of [Pick.roundRobin, Pick.smoothRoundRobin]) {
      for (const weights of [
        [1, 1, 1],
        [3, 3, 3],
        [5, 1, 1],
        [1, 2, 4, 0.3, 100],
        [7, 5, 3, 2, 11, 13]
      ]) {
        const { candidates, load } = setUp(weights)
        const random = seeded(2)
        const total = weights.reduce((sum, weight) => sum + weight, 0)
        const counts = weights.map(() => 0)
        let worst = 0
        for (let turn = 1; turn <= 5000; turn++) {
          counts[policy(candidates, load, 0, random)]++
          for (const [slot, weight] of weights.entries()) {
            worst = Math.max(worst, Math.abs(counts[slot] - (turn * weight) / total))
          }
        }
        // A round of turns may give all of its share to the heavy ones, and the next one to the light ones.
        assert.isBelow(worst, policy === Pick.smoothRoundRobin ? 4 : 2 * weights.length, `of ${weights.join()}`)
      }
    }
  })

  it("roundRobin and smoothRoundRobin go around without repeating where weights are alike, whatever they are", () => {
    for (const policy of [Pick.roundRobin, Pick.smoothRoundRobin]) {
      const { candidates, load } = setUp([3, 3, 3, 3])
      const turns = Array.from({ length: 8 }, () => policy(candidates, load, 0, seeded(1)))
      assert.strictEqual(new Set(turns.slice(0, 4)).size, 4)
      assert.deepStrictEqual(turns.slice(4), turns.slice(0, 4))
    }
  })

  it("smoothRoundRobin spreads the turns of a heavy one", () => {
    const { candidates, load } = setUp([5, 1, 1])
    const turns = Array.from({ length: 700 }, () => Pick.smoothRoundRobin(candidates, load, 0, seeded(1)))
    assert.notInclude(turns.join(""), "000000")
    assert.notMatch(turns.join(""), /[12]{2}/)
  })

  it("roundRobin starts anywhere, so that clients that start together do not meet at one instance", () => {
    const firsts = Array.from({ length: 50 }, (_, seed) => {
      const { candidates, load } = setUp([1, 1, 1])
      return Pick.roundRobin(candidates, load, 0, seeded(seed))
    })
    assert.strictEqual(new Set(firsts).size, 3)
  })

  it("weightedRandom draws as often as the weights say", () => {
    const [light, medium, heavy] = shares(Pick.weightedRandom, setUp([1, 2, 4]), { picks: 70_000 })
    assert.approximately(light, 1 / 7, 0.005)
    assert.approximately(medium, 2 / 7, 0.006)
    assert.approximately(heavy, 4 / 7, 0.006)
  })

  it("ringHash gives a key the same instance, and moves few keys when somebody joins or leaves", () => {
    const { candidates, load } = hashed(10)
    const before = owners({ candidates, load })
    assert.deepStrictEqual(owners({ candidates, load }), before)
    assert.strictEqual(new Set(before).size, 10)

    Candidates.remove(candidates, 3)
    const without = owners({ candidates, load })
    assert.isTrue(before.every((owner, key) => owner === 3 || without[key] === owner))
    assert.isAtLeast(new Set(without.filter((_, key) => before[key] === 3)).size, 5, "its keys go to many others")

    Candidates.add(candidates, 3, 1)
    Candidates.add(candidates, Load.join(load, 1, 0, seedOf(10)), 1)
    const more = owners({ candidates, load })
    const moved = before.filter((owner, key) => more[key] !== owner).length
    assert.isTrue(before.every((owner, key) => more[key] === owner || more[key] === 10))
    assert.approximately(moved / keys.length, 1 / 11, 0.04)
  })

  it("ringHash is agreed upon by clients that met the instances in another order", () => {
    const one = hashed(10)
    const other = { load: Load.make(defaults.load), candidates: Candidates.make() }
    for (let index = 9; index >= 0; index--) {
      Candidates.add(other.candidates, Load.join(other.load, 1, 0, seedOf(index)), 1)
    }
    assert.deepStrictEqual(
      owners(other).map((slot) => 9 - slot),
      owners(one)
    )
  })

  it("ringHash knows nothing of who was there before, and follows weights", () => {
    const { candidates, load } = hashed(10)
    owners({ candidates, load })
    for (const slot of [2, 5]) {
      Candidates.remove(candidates, slot)
      Load.leave(load, slot)
    }
    Load.weigh(load, 7, 2)
    Candidates.remove(candidates, 7)
    Candidates.add(candidates, 7, 2)
    owners({ candidates, load })
    for (const index of [11, 12]) Candidates.add(candidates, Load.join(load, 1, 0, seedOf(index)), 1)

    const fresh = { load: Load.make(defaults.load), candidates: Candidates.make() }
    for (let slot = 0; slot < 10; slot++) {
      const weight = slot === 7 ? 2 : 1
      Candidates.add(fresh.candidates, Load.join(fresh.load, weight, 0, load.seeds[slot]), weight)
    }
    assert.deepStrictEqual(owners({ candidates, load }), owners(fresh))
    const ofHeavy = owners(fresh).filter((slot) => slot === 7).length
    assert.approximately(ofHeavy / keys.length, 2 / 11, 0.06)
  })

  it("ringHash: nobody has more than 1.25 times its share of the requests in flight, however popular a key is", () => {
    const { candidates, load } = hashed(10)
    for (let request = 1; request <= 400; request++) {
      const slot = Pick.ringHash(candidates, load, 0, seeded(1), "popular")
      Load.start(load, slot)
      assert.isAtMost(Load.requestsInFlight(load, slot), Math.ceil((1.25 * request) / 10))
    }
  })

  it("ringHash finds a substitute even where the ring holds a thousand others", () => {
    const { load } = hashed(1000)
    const few = Candidates.make()
    Candidates.add(few, 500, 1)
    assert.strictEqual(Pick.ringHash(few, load, 0, seeded(1), "key"), 500)
  })

  it("hotCold takes the fastest of those that are not the busiest, by what they say of themselves", () => {
    const eight = setUp([1, 1, 1, 1, 1, 1, 1, 1])
    reports(eight.load, [20, 5], [2, 40], [2, 10], [3, 40], [2, 40], [3, 40], [1, 40], [3, 40])
    const taken = shares(Pick.hotCold, eight, { now: 10 })
    assert.strictEqual(taken[0], 0, "hot, though the fastest")
    assert.isAbove(taken[2], 0.4)
  })

  it("hotCold takes the least busy where all are hot, and counts its own requests since the report", () => {
    const pair = setUp([1, 1])
    reports(pair.load, [1, 20], [1, 20])
    record(pair.load, 0, { _tag: "PushedBack", retryAfter: 5000 }, 1, 5)
    assert.deepStrictEqual(shares(Pick.hotCold, pair, { now: 10 }), [0, 1])

    const busy = setUp([1, 1])
    reports(busy.load, [1, 20], [1, 20])
    for (let request = 0; request < 4; request++) Load.start(busy.load, 1)
    assert.deepStrictEqual(shares(Pick.hotCold, busy, { now: 10 }), [1, 0])
  })

  it("hotCold forgets a report after a second, and then compares what this client measured", () => {
    const pair = setUp([1, 1])
    known(pair.load, 20, 200)
    reports(pair.load, [9, 400], [1, 20])
    assert.deepStrictEqual(shares(Pick.hotCold, pair, { now: 1000 }), [0, 1])
    assert.deepStrictEqual(shares(Pick.hotCold, pair, { now: 1011 }), [1, 0])
  })
})
