import { assert, describe, it } from "@effect/vitest"
import { Candidates, Load, Outcome, Pick } from "@muster/core"
import { defaults, seeded } from "./fixtures/instances.ts"

const setUp = (weights: ReadonlyArray<number>) => {
  const load = Load.make(defaults.load)
  const candidates = Candidates.make()
  for (const weight of weights) Candidates.add(candidates, Load.join(load, weight, 0), weight)
  return { load, candidates }
}

/** Makes the latencies of the instances known, in order. */
const known = (load: Load.Load, ...latencies: ReadonlyArray<number>) => {
  for (const [slot, latency] of latencies.entries()) {
    for (let answer = 0; answer < 5; answer++) Load.record(load, slot, Outcome.succeeded, latency, 0)
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
    Load.record(pair.load, 1, Outcome.succeeded, 200, 0)
    assert.approximately(shares(Pick.p2c, pair)[1], 0.5, 0.02)
    Load.record(pair.load, 1, Outcome.succeeded, 200, 0)
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
    for (let failure = 0; failure < 4; failure++) Load.record(uneven.load, 0, Outcome.failed, 1, 0)
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
    for (let failure = 0; failure < 4; failure++) Load.record(three.load, 0, Outcome.failed, 1, 0)
    assert.isBelow(shares(Pick.p2c, three)[0], 0.001)
    const pair = setUp([1, 1])
    Load.warm(pair.load, 1, 0, 10_000, 0.1)
    for (let failure = 0; failure < 4; failure++) Load.record(pair.load, 0, Outcome.failed, 1, 0)
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
})
