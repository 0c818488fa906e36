import { assert, describe, it } from "@effect/vitest"
import { RetryBudget } from "@muster/core"

const full = () => RetryBudget.make({ ratio: 0.2, perSecond: 10, window: 10_000 })

describe("RetryBudget", () => {
  it("allows a fifth of the requests and ten per second in the long run", () => {
    const budget = full()
    let retries = 0
    for (let now = 0; now < 600_000; now++) {
      RetryBudget.deposit(budget, now)
      if (RetryBudget.withdraw(budget, now)) retries++
    }
    // 1 000 requests per second: 200 + 10 retries per second, and the burst of the beginning.
    assert.approximately(retries / 600, 210, 1)
  })

  it("allows a hundred at once after a quiet time, and then says no until time passes", () => {
    const budget = full()
    const burst = Array.from({ length: 200 }, () => RetryBudget.withdraw(budget, 0)).filter(Boolean)
    assert.strictEqual(burst.length, 100)
    assert.isFalse(RetryBudget.withdraw(budget, 50))
    assert.isTrue(RetryBudget.withdraw(budget, 150))
  })
})
