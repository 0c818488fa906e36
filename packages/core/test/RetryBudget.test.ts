import { assert, describe, it } from "@effect/vitest"
import { RetryBudget } from "@muster/core"

const full = () => RetryBudget.make({ ratio: 0.2, perSecond: 10, window: 10_000 })

describe("RetryBudget", () => {
  it("allows a fifth of the requests and up to ten per second in the long run", () => {
    const budget = full()
    let retries = 0
    for (let now = 0; now < 600_000; now++) {
      RetryBudget.deposit(budget, now)
      if (now % 4 === 0 && RetryBudget.withdraw(budget, now)) retries++
    }
    // 1 000 requests per second: 200 and, as four fifths of the attempts succeed, 8 retries per second.
    assert.approximately(retries / 600, 208, 1)
  })

  it("grants the few per second only to the extent to which attempts succeed", () => {
    const budget = full()
    let retries = 0
    for (let now = 0; now < 600_000; now += 100) {
      RetryBudget.deposit(budget, now)
      for (let attempt = 1; attempt < 3 && RetryBudget.withdraw(budget, now); attempt++) retries++
    }
    assert.approximately(retries / 600, 2.5, 0.5)
  })

  it("allows most of what fails at once after a quiet time, and then says no until time passes", () => {
    const budget = full()
    for (let request = 0; request < 100; request++) RetryBudget.deposit(budget, 0)
    const burst = Array.from({ length: 100 }, () => RetryBudget.withdraw(budget, 0)).filter(Boolean)
    assert.approximately(burst.length, 77, 2)
    assert.isFalse(RetryBudget.withdraw(budget, 50))
    assert.isTrue(RetryBudget.withdraw(budget, 10_000))
  })
})
