import { assert, describe, it } from "@effect/vitest"
import { Load, Outcome } from "@muster/core"
import { cold, defaults } from "./fixtures/instances.ts"
import { seeded } from "./fixtures/seeded.ts"
import { cost, record } from "./fixtures/measured.ts"

const fresh = (instances = 1) => {
  const load = Load.make(defaults.load)
  return { load, slots: Array.from({ length: instances }, () => Load.join(load, 1, 0)) }
}

/** Makes the latency of an instance known: it answers in so many milliseconds, again and again. */
const known = (load: Load.Load, slot: number, latency: number, now = 0) => {
  for (let answer = 0; answer < 5; answer++) record(load, slot, Outcome.succeeded, latency, now)
}

const close = (actual: number, expected: number, within = 1e-3) => assert.approximately(actual, expected, within)

describe("Load", () => {
  it("averages the latency over the last answers, the first ones counting for more", () => {
    const { load, slots } = fresh()
    known(load, slots[0], 20)
    record(load, slots[0], Outcome.succeeded, 52, 0)
    close(Load.latency(load, slots[0], 0), 20 + 32 / 8)
    for (let answer = 0; answer < 500; answer++) record(load, slots[0], Outcome.succeeded, 20, 0)
    record(load, slots[0], Outcome.succeeded, 52, 0)
    close(Load.latency(load, slots[0], 0), 21)
    record(load, slots[0], Outcome.succeeded, 121, 20_000)
    close(Load.latency(load, slots[0], 20_000), 121 - 100 * Math.exp(-1))
  })

  it("learns nothing of the instances from the first answers, which say how cold this client is", () => {
    const load = Load.make(cold.load)
    const [one, other] = [Load.join(load, 1, 0), Load.join(load, 1, 0)]
    for (let answer = 0; answer < 3; answer++) {
      record(load, one, Outcome.succeeded, 120, 0)
      record(load, other, Outcome.succeeded, 30, 0)
    }
    assert.isFalse(Load.isKnown(load, one))
    assert.isTrue(Load.isAlike(load, one, other, 0))
    for (let answer = 0; answer < 5; answer++) record(load, one, Outcome.succeeded, 20, 0)
    close(Load.latency(load, one, 0), 20)
  })

  it("nor from a probe that is answered meanwhile", () => {
    const load = Load.make(cold.load)
    const [one, other] = [Load.join(load, 1, 0), Load.join(load, 1, 0)]
    Load.pardon(load, one, 120, 0)
    for (let answer = 0; answer < 6; answer++) record(load, other, Outcome.succeeded, 30, 0)
    for (let answer = 0; answer < 2; answer++) record(load, one, Outcome.succeeded, 20, 0)
    close(Load.latency(load, one, 0), 20)
  })

  it("does not take one slow answer for a slow instance, nor a lucky first one for a fast one", () => {
    const { load, slots } = fresh(2)
    for (let answer = 0; answer < 100; answer++) record(load, slots[0], Outcome.succeeded, 20, 0)
    for (const answer of [1, 20]) record(load, slots[1], Outcome.succeeded, answer, 0)
    assert.isTrue(Load.isAlike(load, slots[0], slots[1], 0))
    for (let answer = 0; answer < 100; answer++) record(load, slots[1], Outcome.succeeded, 20, 0)
    record(load, slots[0], Outcome.succeeded, 400, 0)
    assert.isTrue(Load.isAlike(load, slots[0], slots[1], 0))
    record(load, slots[0], Outcome.succeeded, 400, 0)
    assert.isFalse(Load.isAlike(load, slots[0], slots[1], 0))
  })

  it("compares what is in flight with what usually is, where latencies differ", () => {
    const { load, slots } = fresh(2)
    known(load, slots[1], 200)
    for (let request = 0; request < 8; request++) Load.start(load, slots[0])
    for (let answer = 0; answer < 200; answer++) record(load, slots[0], Outcome.succeeded, 20, 0)
    const [fast, slow] = slots.map((slot, index) => cost(load, slot, slots[1 - index], 0))
    close(fast, ((20 + 5) * 9) / 8, 0.2)
    close(slow, 200 + 5, 0.1)
    for (let request = 0; request < 60; request++) Load.start(load, slots[0])
    assert.isAbove(cost(load, slots[0], slots[1], 0), cost(load, slots[1], slots[0], 0))
  })

  it("forgets what few answers said the sooner the fewer they were, but not before many requests", () => {
    const { load, slots } = fresh(3)
    const [busy, young, old] = slots
    known(load, young, 100)
    for (let answer = 0; answer < 40; answer++) record(load, old, Outcome.succeeded, 100, 0)
    close(Load.latency(load, young, 20_000), 100 * Math.exp(-1))
    for (let answer = 0; answer < 4955; answer++) record(load, busy, Outcome.succeeded, 20, 0)
    // 5 000 requests in a window of 30 s: 700 of them take 4.2 s.
    close(Load.latency(load, young, 4200), 100 * Math.exp(-1))
    for (let answer = 0; answer < 50_000; answer++) record(load, busy, Outcome.succeeded, 20, 0)
    const fewerAnswers = (5 / 32) * 20_000
    close(Load.latency(load, young, fewerAnswers), 100 * Math.exp(-1))
    close(Load.latency(load, old, 20_000), 100 * Math.exp(-1))
    record(load, young, Outcome.interrupted, 200, 0)
    close(Load.latency(load, young, 20_000), 200 * Math.exp(-1))
  })

  it("forgets a latency with a time constant of 20 s, and reading changes nothing", () => {
    const { load, slots } = fresh()
    known(load, slots[0], 100)
    for (let now = 0; now < 20_000; now += 100) cost(load, slots[0], slots[0], now)
    close(Load.latency(load, slots[0], 20_000), 100 * Math.exp(-1))
    close(Load.latency(load, slots[0], 20_000), 100 * Math.exp(-1))
  })

  it("knows a latency after two answers, and expects of the others the median of what it knows, or 30 ms", () => {
    const { load, slots } = fresh(4)
    close(Load.latency(load, slots[0], 0), 30)
    record(load, slots[0], Outcome.succeeded, 7, 0)
    assert.isFalse(Load.isKnown(load, slots[0]))
    close(Load.latency(load, slots[0], 0), 30)
    record(load, slots[0], Outcome.succeeded, 3, 0)
    assert.isTrue(Load.isKnown(load, slots[0]))
    close(Load.latency(load, slots[0], 0), 5)
    close(Load.latency(load, slots[3], 0), 5)
    known(load, slots[1], 12)
    known(load, slots[2], 100)
    close(Load.latency(load, slots[1], 0), (2 * 5 + 5 * 12) / 7)
    close(Load.latency(load, slots[3], 0), 10)
    close(Load.latency(load, Load.join(load, 1, 0), 0), 10)
  })

  it("never takes failing fast for being fast, but a slow failure for being slow", () => {
    const { load, slots } = fresh()
    known(load, slots[0], 20)
    const before = cost(load, slots[0], slots[0], 0)
    record(load, slots[0], Outcome.failed, 1, 0)
    assert.isAbove(cost(load, slots[0], slots[0], 0), before)
    record(load, slots[0], Outcome.failed, 2000, 0)
    close(Load.latency(load, slots[0], 0), 2000)
  })

  it("keeps 1 % of errors at 1 000 requests per second near 0.01 for ten minutes", () => {
    const { load, slots } = fresh()
    const random = seeded(7)
    let sum = 0
    let last = 0
    for (let request = 1; request <= 600_000; request++) {
      record(load, slots[0], random() < 0.01 ? Outcome.failed : Outcome.succeeded, 20, request)
      if (request <= 500_000) continue
      sum += Load.failureRate(load, slots[0], request)
      last = request
    }
    close(sum / 100_000, 0.01, 0.003)
    close(Load.evidence(load, slots[0]).successRate, 0.99, 0.003)
    close(Load.evidence(load, slots[0]).requests, 30_000, 50)
    assert.isBelow(Load.failureRate(load, slots[0], last + 10_000), 0.001)
  })

  it("is mild to a single failure and severe to a streak", () => {
    const { load, slots } = fresh()
    const pressures = [1, 2, 3, 4].map((at) => {
      record(load, slots[0], Outcome.failed, 1, at)
      return Load.pressure(load, slots[0], at)
    })
    assert.isBelow(pressures[0], 2)
    assert.isAbove(pressures[1], 3)
    assert.isAbove(pressures[2], 30)
    assert.isAbove(pressures[3], 4000)
    assert.strictEqual(Load.evidence(load, slots[0]).streak, 4)
    record(load, slots[0], Outcome.succeeded, 1, 5)
    assert.strictEqual(Load.evidence(load, slots[0]).streak, 0)
  })

  it("honours a push-back until it is over, but not for longer than 30 s, and takes it for no failure in a row", () => {
    const { load, slots } = fresh()
    record(load, slots[0], { _tag: "PushedBack", retryAfter: 2000 }, 1, 0)
    assert.isTrue(Load.isPushedBack(load, slots[0], 1999))
    assert.isAbove(Load.pressure(load, slots[0], 1999), 1000)
    assert.isFalse(Load.isPushedBack(load, slots[0], 2000))
    assert.isBelow(Load.pressure(load, slots[0], 2000), 1.5)
    assert.strictEqual(Load.evidence(load, slots[0]).streak, 0)
    assert.strictEqual(Load.evidence(load, slots[0]).requests, 0)
    record(load, slots[0], { _tag: "PushedBack", retryAfter: 3_600_000 }, 1, 2000)
    assert.isFalse(Load.isPushedBack(load, slots[0], 32_000))
  })

  it("F-c1: takes an interruption for the time that was spent, if that is above the estimate, and never for a failure", () => {
    const { load, slots } = fresh()
    known(load, slots[0], 20)
    record(load, slots[0], Outcome.interrupted, 5, 0)
    close(Load.latency(load, slots[0], 0), 20)
    record(load, slots[0], Outcome.interrupted, 500, 0)
    close(Load.latency(load, slots[0], 0), 500)
    assert.strictEqual(Load.failureRate(load, slots[0], 0), 0)
    assert.strictEqual(Load.evidence(load, slots[0]).streak, 0)
    assert.strictEqual(Load.evidence(load, slots[0]).successRate, 1)
  })

  it("doubts an instance more with every caller that gives up without an answer between, up to 16 times", () => {
    const { load, slots } = fresh()
    const seen = [1, 2, 3, 4, 5, 6].map(() => {
      record(load, slots[0], Outcome.interrupted, 100, 0)
      return Math.round(Load.latency(load, slots[0], 0))
    })
    assert.deepStrictEqual(seen, [100, 200, 400, 800, 1600, 1600])
    record(load, slots[0], Outcome.succeeded, 20, 200_000)
    record(load, slots[0], Outcome.interrupted, 100, 200_000)
    close(Load.latency(load, slots[0], 200_000), 100)
  })

  it("counts what is in flight relative to the weight", () => {
    const load = Load.make(defaults.load)
    const light = Load.join(load, 1, 0)
    const heavy = Load.join(load, 3, 0)
    for (let request = 0; request < 2; request++) Load.start(load, light)
    for (let request = 0; request < 6; request++) Load.start(load, heavy)
    close(Load.pressure(load, light, 0), Load.pressure(load, heavy, 0))
    Load.start(load, light)
    assert.isAbove(Load.pressure(load, light, 0), Load.pressure(load, heavy, 0))
  })

  it("does not give a slot away while requests of the instance that left are in flight, and gives it away clean", () => {
    const { load, slots } = fresh(1)
    Load.start(load, slots[0])
    record(load, slots[0], Outcome.failed, 2000, 0)
    Load.leave(load, slots[0])
    assert.notStrictEqual(Load.join(load, 1, 0), slots[0])
    Load.end(load, slots[0])
    const reused = Load.join(load, 1, 0)
    assert.strictEqual(reused, slots[0])
    close(Load.latency(load, reused, 0), 30)
    assert.strictEqual(Load.requestsInFlight(load, reused), 0)
    assert.strictEqual(Load.evidence(load, reused).streak, 0)
  })

  it("forgives an instance that proved to be well", () => {
    const { load, slots } = fresh()
    for (let request = 0; request < 5; request++) record(load, slots[0], Outcome.failed, 2000, 0)
    Load.pardon(load, slots[0], 20, 0)
    assert.isFalse(Load.isKnown(load, slots[0]))
    record(load, slots[0], Outcome.succeeded, 40, 0)
    close(Load.latency(load, slots[0], 0), 30)
    assert.strictEqual(Load.failureRate(load, slots[0], 0), 0)
    assert.strictEqual(Load.evidence(load, slots[0]).successRate, 1)
  })

  it("knows how the others fare", () => {
    const { load, slots } = fresh(2)
    for (let request = 0; request < 10; request++) {
      record(load, slots[0], Outcome.failed, 20, 0)
      record(load, slots[1], request < 5 ? Outcome.failed : Outcome.succeeded, 20, 0)
    }
    close(Load.evidence(load, slots[0]).successRateOfOthers, 0.5)
    close(Load.evidence(load, slots[1]).successRateOfOthers, 0)
  })

  it("warms up linearly from the floor", () => {
    const { load, slots } = fresh()
    assert.strictEqual(Load.warmth(load, slots[0], 0), 1)
    Load.warm(load, slots[0], 0, 10_000, 0.1)
    close(Load.warmth(load, slots[0], 0), 0.1)
    close(Load.warmth(load, slots[0], 5000), 0.55)
    assert.strictEqual(Load.warmth(load, slots[0], 10_000), 1)
  })
})
