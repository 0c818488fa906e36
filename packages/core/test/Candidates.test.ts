import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Candidates } from "@muster/core"
import { seeded } from "./fixtures/seeded.ts"

const of = (weights: ReadonlyArray<number>) => {
  const candidates = Candidates.make()
  weights.forEach((weight, slot) => Candidates.add(candidates, slot, weight))
  return candidates
}

/** Pearson's statistic of `draws` against the shares that the weights ask for. */
const chiSquare = (weights: ReadonlyArray<number>, draws: number, draw: () => number) => {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const counts = weights.map(() => 0)
  for (let n = 0; n < draws; n++) counts[draw()]++
  return weights.reduce((sum, weight, slot) => {
    const expected = (draws * weight) / total
    return sum + (counts[slot] - expected) ** 2 / expected
  }, 0)
}

/** The 99.9 % quantiles of chi-square, by degrees of freedom. */
const critical: Readonly<Record<number, number>> = { 2: 13.82, 4: 18.47, 9: 27.88 }

const Step = Schema.Struct({
  slot: Schema.Literals([0, 1, 2, 3, 4, 5]),
  weight: Schema.Literals([0, 0.3, 1, 2, 3, 1000])
})

const ascending = (a: number, b: number) => a - b

describe("Candidates", () => {
  it("draws each member as often as its weight says", () => {
    for (const weights of [
      [1, 2, 4],
      [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
      [3, 3, 3],
      [0.5, 0.7, 0.9, 100, 130]
    ]) {
      const candidates = of(weights)
      const random = seeded(weights.length)
      const statistic = chiSquare(weights, 200_000, () => Candidates.draw(candidates, random))
      assert.isBelow(statistic, critical[weights.length - 1], `weights ${weights.join()}`)
    }
  })

  it("would notice a bias of 3 %", () => {
    const candidates = of([1.03, 1, 1])
    const random = seeded(1)
    assert.isAbove(
      chiSquare([1, 1, 1], 200_000, () => Candidates.draw(candidates, random)),
      critical[2]
    )
  })

  it("draws another one as often as its weight says among the rest", () => {
    for (const weights of [
      [1, 2, 4, 8],
      [1, 1, 1, 1]
    ]) {
      const candidates = of(weights)
      const random = seeded(3)
      assert.isBelow(
        chiSquare(weights.slice(1), 100_000, () => Candidates.drawOther(candidates, 0, random) - 1),
        critical[2]
      )
    }
  })

  it("finds another one even when the first outweighs it a million times", () => {
    const candidates = of([1_000_000, 0.001])
    assert.strictEqual(Candidates.drawOther(candidates, 0, seeded(1)), 1)
  })

  it.prop("agrees with a plain map, whatever is added and removed", [Schema.Array(Step)], ([steps]) => {
    const candidates = Candidates.make()
    const model = new Map<number, number>()
    for (const { slot, weight } of steps) {
      Candidates.remove(candidates, slot)
      model.delete(slot)
      if (weight === 0) continue
      Candidates.add(candidates, slot, weight)
      model.set(slot, weight)
    }
    assert.strictEqual(candidates.size, model.size)
    assert.approximately(
      candidates.total,
      [...model.values()].reduce((sum, weight) => sum + weight, 0),
      1e-9
    )
    const around = Array.from({ length: candidates.size }, (_, index) => Candidates.at(candidates, index))
    assert.deepStrictEqual(around.toSorted(ascending), [...model.keys()].toSorted(ascending))
    for (const slot of [0, 1, 2, 3, 4, 5]) assert.strictEqual(Candidates.has(candidates, slot), model.has(slot))
    const { even, isInOrder } = candidates
    assert.strictEqual(isInOrder, even !== undefined && even.every((slot, place) => slot === place))
    for (const { slots, strays } of candidates.groups) {
      assert.strictEqual(strays, slots.filter((slot, place) => slot !== place).length)
      slots.forEach((slot, place) => assert.strictEqual(candidates.places[slot], place))
    }
  })

  it.prop("has all in order again once all are back, in whatever order", [Schema.Array(Schema.Int)], ([numbers]) => {
    const candidates = of([1, 1, 1, 1, 1, 1, 1, 1])
    const gone = new Set(numbers.map((number) => Math.abs(number) % 8))
    for (const slot of Array.from(gone).toSorted(ascending)) Candidates.remove(candidates, slot)
    for (const slot of gone) Candidates.add(candidates, slot, 1)
    assert.isTrue(candidates.isInOrder)
    assert.deepStrictEqual(candidates.even, [0, 1, 2, 3, 4, 5, 6, 7])
  })
})
