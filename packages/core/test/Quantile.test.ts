import { assert, describe, it } from "@effect/vitest"
import { Quantile } from "@muster/core"

/** Numbers from 0 to 1, the same ones each time. */
const numbers = (seed: number) => {
  let state = seed
  return () => {
    state = (state * 1664525 + 1013904223) % 2 ** 32
    return state / 2 ** 32
  }
}

/** Latencies with a long tail: the quantile at `share` is `median * ((1 − share) / share) ** -0.5`. */
const latencies = (seed: number, median: number) => {
  const random = numbers(seed)
  return () => {
    const x = random()
    return median * ((1 - x) / x) ** -0.5
  }
}
const truth = (share: number, median: number) => median * ((1 - share) / share) ** -0.5

const mean = (self: Quantile.Quantile, count: number, next: () => number) => {
  let sum = 0
  for (let n = 0; n < count; n++) {
    Quantile.observe(self, next(), true)
    sum += self.estimate
  }
  return sum / count
}

const near = (actual: number | undefined, expected: number, share: number) =>
  assert.isTrue(Math.abs((actual ?? 0) / expected - 1) <= share, `${actual} is not near ${expected}`)

describe("Quantile", () => {
  for (const share of [0.5, 0.9, 0.95, 0.99]) {
    it(`finds what ${share * 100} % of the values are below, and stays there`, () => {
      for (const seed of [1, 2, 3]) {
        const quantile = Quantile.make(share)
        const next = latencies(seed, 20)
        mean(quantile, 2000, next)
        near(mean(quantile, 20_000, next), truth(share, 20), 0.1)
      }
    })
  }

  it("knows nothing before it has seen enough", () => {
    const quantile = Quantile.make(0.95)
    for (let n = 1; n <= 19; n++) {
      Quantile.observe(quantile, n, true)
      assert.isUndefined(Quantile.get(quantile))
    }
    Quantile.observe(quantile, 3, true)
    assert.strictEqual(Quantile.get(quantile), 19)
  })

  it("follows latencies that become ten times as long, and as short again", () => {
    const quantile = Quantile.make(0.95)
    mean(quantile, 2000, latencies(1, 2))
    mean(quantile, 300, latencies(2, 20))
    near(mean(quantile, 2000, latencies(3, 20)), truth(0.95, 20), 0.15)
    mean(quantile, 2000, latencies(4, 2))
    near(mean(quantile, 5000, latencies(5, 2)), truth(0.95, 2), 0.15)
  })

  it("is the same whether a value above it was waited for or not", () => {
    const next = latencies(7, 20)
    const [waited, hurried] = [Quantile.make(0.95), Quantile.make(0.95)]
    for (let n = 0; n < 10_000; n++) {
      const value = next()
      Quantile.observe(waited, value, true)
      const patience = Quantile.get(hurried)
      if (patience === undefined || value <= patience) Quantile.observe(hurried, value, true)
      else Quantile.observe(hurried, patience * 1.0001, false)
    }
    assert.strictEqual(waited.estimate, hurried.estimate)
  })

  it("learns nothing from one that was given up early", () => {
    const quantile = Quantile.make(0.5)
    for (const value of [10, 10]) Quantile.observe(quantile, value, true)
    Quantile.observe(quantile, 3, false)
    assert.deepStrictEqual([quantile.estimate, quantile.seen], [10, 2])
  })
})
