/**
 * How the parts of the balancer behave together, in virtual time: the real Roster, Attempt, Load, Pick, Health and
 * RetryBudget against simulated servers. 100 requests per second and instance unless a test says otherwise.
 */
import { assert, describe, it } from "@effect/vitest"
import { Outcome, Pick, type Roster } from "@muster/core"
import { answers, defaults, epoch, fleet, type Server, type World, run } from "./fixtures/Simulation.ts"

const seeds = Array.from({ length: 20 }, (_, seed) => seed)

/** Answers 503 in 1 ms until it is well again. */
const failsFast =
  (until = Infinity): Server =>
  (now, inFlight, random) =>
    now < until ? { after: 1, outcome: Outcome.failed } : answers(20)(now, inFlight, random)

const hangs: Server = () => ({ after: Infinity, outcome: Outcome.failed })

/** Fails that often, quickly. */
const flaky =
  (share: number, well: Server): Server =>
  (now, inFlight, random) =>
    random() < share ? { after: 1, outcome: Outcome.failed } : well(now, inFlight, random)

const ejections = (events: ReadonlyArray<Roster.Event>) =>
  events.filter((event) => event._tag === "HealthChanged" && event.health._tag === "Ejected").length

const close = (actual: number, expected: number, within: number, what?: string) =>
  assert.approximately(actual, expected, within, what)

/** The share of one that is 10 times slower than three others, all with so many errors. */
const slowOf = (errors: number) => {
  const servers = { s0: answers(200), s1: answers(20), s2: answers(20), s3: answers(20) }
  const all = Object.fromEntries(Object.entries(servers).map(([id, server]) => [id, flaky(errors, server)]))
  const { share, events } = run({ servers: all, rate: 4000, seconds: 60, seed: 1 })
  assert.strictEqual(ejections(events), 0)
  return share("s0", 5, 60)
}

/** Pushes back with more than two requests in flight. */
const busy: Server = (now, inFlight, random) =>
  inFlight > 2 ? { after: 1, outcome: { _tag: "PushedBack", retryAfter: 1000 } } : answers(20)(now, inFlight, random)

/** Four workers, exponential times. */
const queueing = (mean: number): Server => {
  const free = [0, 0, 0, 0]
  return (now, _inFlight, random) => {
    const worker = free.indexOf(Math.min(...free))
    free[worker] = Math.max(now, free[worker]) - mean * Math.log(1 - random())
    return { after: free[worker] - now, outcome: Outcome.succeeded }
  }
}

/** With three such servers, one of them slower, at three quarters of their capacity. */
const p99 = (policy: Pick.Policy, slow: number) => {
  const servers = { s0: queueing(20 * slow), s1: queueing(20), s2: queueing(20) }
  const rate = 0.75 * (2 + 1 / slow) * 200
  return run({ servers, rate, seconds: 60, seed: 1, options: { policy } }).percentile(0.99)
}

describe("Balancing", () => {
  for (const n of [2, 3, 10]) {
    it(`F-s5: of ${n}, one that fails fast gets at most 5 % of its fair share within 1 s, and its share back when it is well`, () => {
      for (const seed of seeds) {
        const { share } = run({ servers: fleet(n, failsFast(10_000)), rate: 100 * n, seconds: 25, seed })
        assert.isAtMost(share("s0", 1, 10), 0.05, `seed ${seed}`)
        assert.isAtLeast(share("s0", 20, 25), 0.8, `seed ${seed}`)
        for (let second = 10; second < 25; second++)
          assert.isBelow(share("s0", second, second + 1), 1.5, `seed ${seed}`)
      }
    })

    it(`F-s5: of ${n}, one that fails fast while nobody may be ejected is avoided as well, and comes back`, () => {
      const options = { health: { ...defaults.health, consecutive: Infinity, successRate: 0 } }
      for (const seed of seeds.slice(0, 5)) {
        const { share, events } = run({
          servers: fleet(n, failsFast(10_000)),
          rate: 100 * n,
          seconds: 25,
          seed,
          options
        })
        assert.strictEqual(ejections(events), 0)
        assert.isAtMost(share("s0", 1, 10), 0.05, `seed ${seed}`)
        assert.isAtLeast(share("s0", 20, 25), 0.8, `seed ${seed}`)
      }
    })

    for (const patience of [undefined, 500, 100]) {
      const callers = patience === undefined ? "patient callers" : `callers that give up after ${patience} ms`
      it(`F-s4: of ${n}, one that hangs gets at most 2 % of its fair share after 5 s while the list keeps changing, with ${callers}`, () => {
        const churn = Array.from({ length: 8 }, (_, change) => {
          const act = (world: World) => (change % 2 === 0 ? world.put("extra") : world.remove("extra"))
          return [5000 * (change + 1), act] as const
        })
        for (const seed of seeds.slice(0, 5)) {
          const { share, sent } = run({
            servers: { ...fleet(n, hangs), extra: answers(20) },
            listed: Object.keys(fleet(n, hangs)),
            rate: 100 * n,
            seconds: 45,
            seed,
            script: churn,
            patience
          })
          assert.isAtMost(share("s0", 5, 45), 0.02, `seed ${seed}`)
          assert.isAtMost(sent("s0", 0, 5), 50, `seed ${seed}`)
        }
      })
    }

    it(`F-s6: of ${n}, one that is 10 times slower gets at most a fifth of its fair share`, () => {
      for (const seed of seeds.slice(0, 5)) {
        const { share, percentile } = run({ servers: fleet(n, answers(200)), rate: 100 * n, seconds: 30, seed })
        assert.isAtMost(share("s0", 1, 30), 0.2, `seed ${seed}`)
        if (n > 2) assert.isBelow(percentile(0.99), 30, `seed ${seed}`)
      }
    })
  }

  it("F-s7: 1 % of errors at 1 000 requests per second for ten minutes eject nobody and cost at most a fifth of the share", () => {
    const { share, events } = run({ servers: fleet(3, flaky(0.01, answers(20))), rate: 3000, seconds: 600, seed: 1 })
    assert.strictEqual(ejections(events), 0)
    assert.isAtLeast(share("s0", 0, 60), 0.8)
    assert.isAtLeast(share("s0", 540, 600), 0.8)
    close(share("s0", 540, 600), share("s0", 0, 60), 0.03)
  })

  it("F-s7: with 1 % of errors everywhere a slow instance stays within 1.5 times its error-free share", () => {
    assert.isAtMost(slowOf(0.01), 1.5 * slowOf(0))
  })

  it("F-s8: does not flood an instance that joins cold", () => {
    for (const n of [2, 3, 10]) {
      for (const seed of seeds.slice(0, 5)) {
        const { share } = run({
          servers: fleet(n, answers(20)),
          listed: Object.keys(fleet(n, answers(20))).slice(1),
          rate: 100 * n,
          seconds: 20,
          seed,
          script: [[5000, ({ put }) => put("s0", { startedAt: epoch + 5000 })]]
        })
        assert.isBelow(share("s0", 5, 6), 0.45, `n ${n} seed ${seed}`)
        for (let second = 5; second < 20; second++) assert.isBelow(share("s0", second, second + 1), 1.5)
        assert.isAbove(share("s0", 16, 20), 0.85, `n ${n} seed ${seed}`)
      }
    }
  })

  it("F-s9: spares an overloaded instance for as long as it asks, and keeps retries inside the budget", () => {
    for (const n of [2, 3, 10]) {
      const some = run({ servers: fleet(n, busy), rate: 300 * n, seconds: 20, seed: 1, attempts: 3 })
      assert.isBelow(some.share("s0", 1, 20), 0.5, "less traffic")
      assert.strictEqual(some.unanswered, 0)
      assert.strictEqual(ejections(some.events), 0)

      const all = Object.fromEntries(Object.keys(fleet(n, busy)).map((id) => [id, busy]))
      const storm = run({ servers: all, rate: 1000 * n, seconds: 20, seed: 1, attempts: 3 })
      assert.isAtMost(storm.retries, 0.2 * storm.requests + 10 * 20 + 100)
    }
  })

  it("F-s9: a retry storm stays inside the budget when everybody fails", () => {
    const servers = Object.fromEntries(Object.keys(fleet(3, hangs)).map((id) => [id, failsFast()]))
    const { retries, requests } = run({ servers, rate: 600, seconds: 30, seed: 1, attempts: 3 })
    assert.isAbove(retries, 0.19 * requests)
    assert.isAtMost(retries, 0.2 * requests + 10 * 30 + 100)
  })

  it("F-s11: the only instance is used however much it fails", () => {
    const { sent, requests } = run({ servers: { s0: failsFast() }, rate: 100, seconds: 10, seed: 1 })
    assert.strictEqual(sent("s0", 0, 10), requests)
  })

  it("F-c1: callers that give up at random leave nothing in flight and nobody ejected", () => {
    for (const patience of [1, 10, 20, 21]) {
      const { roster, events } = run({ servers: fleet(3, answers(20)), rate: 300, seconds: 20, seed: 1, patience })
      assert.strictEqual(roster.load.inFlight, 0)
      assert.strictEqual(events.filter(({ _tag }) => _tag === "HealthChanged").length, 0)
    }
  })

  it("spreads evenly, cold starts included", () => {
    for (const n of [2, 3, 10]) {
      for (const rate of [5, 100]) {
        const { share } = run({ servers: fleet(n, answers(20)), rate: rate * n, seconds: 60, seed: 1 })
        for (const id of Object.keys(fleet(n, hangs))) close(share(id, 0, 60), 1, 0.15, `${id} of ${n} at ${rate}`)
      }
    }
  })

  it("honours weights 1 : 2 : 4 at low and at high load", () => {
    for (const rate of [20, 100, 600]) {
      const servers = { light: answers(20), medium: answers(20), heavy: answers(20) }
      const fields = { light: { weight: 1 }, medium: { weight: 2 }, heavy: { weight: 4 } }
      const { share } = run({ servers, fields, rate, seconds: 300, seed: 1 })
      for (const [id, { weight }] of Object.entries(fields)) {
        close(share(id, 0, 300) / ((3 * weight) / 7), 1, 0.06, `${id} at ${rate}`)
      }
    }
  })

  it("is no worse than least loaded and much better than round robin where servers queue and one is slow", () => {
    assert.isBelow(p99(Pick.p2c, 1), 1.05 * p99(Pick.leastLoaded, 1))
    assert.isBelow(p99(Pick.p2c, 10), 0.5 * p99(Pick.leastLoaded, 10))
    assert.isBelow(p99(Pick.p2c, 10), 0.5 * p99(Pick.roundRobin, 10))
  })
})
