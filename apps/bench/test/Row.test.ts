import { assert, describe, it } from "@effect/vitest"
import { make, quantile } from "../src/Row.ts"

const row = (value: number, against: number, bar?: number) =>
  make({ id: "P0", case: "a case", value, against, unit: "ms", ...(bar === undefined ? {} : { bar }) })

describe("Row", () => {
  it.each([
    { value: 3, against: 1, bar: 3, ratio: 3, ok: true },
    { value: 3.01, against: 1, bar: 3, ratio: 3.01, ok: false },
    { value: 0, against: 0, bar: 0, ratio: 0, ok: true },
    { value: 1, against: 0, bar: 0, ratio: Number.MAX_VALUE, ok: false },
    { value: NaN, against: 1, bar: 3, ratio: NaN, ok: false }
  ])("$value against $against is ok up to $bar: $ok", ({ value, against, bar, ratio, ok }) => {
    const made = row(value, against, bar)
    assert.deepStrictEqual([made.ratio, made.ok], [ratio, ok])
  })

  it("without a bar only informs", () => {
    assert.deepStrictEqual([row(9, 1).bar, row(9, 1).ok], [null, true])
  })

  it("takes the nearest rank of a share", () => {
    const values = [5, 1, 4, 2, 3]
    assert.deepStrictEqual(
      [0.01, 0.5, 0.6, 0.99, 1].map((q) => quantile(values, q)),
      [1, 3, 3, 5, 5]
    )
    assert.isNaN(quantile([], 0.5))
  })
})
