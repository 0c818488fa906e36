/**
 * How the parts of the balancer behave together, in virtual time: the real Roster, Attempt, Load, Pick, Health and
 * RetryBudget against simulated servers. 100 requests per second and server unless a test says otherwise.
 */
import { assert, describe, it } from "@effect/vitest"
import { Pick, type Roster } from "@muster/core"
import { run, type Result, type Scene } from "../src/Engine.ts"
import * as Muster from "../src/Muster.ts"
import { peak, share, total } from "../src/Scenario.ts"
import * as Seeded from "../src/Seeded.ts"
import * as Servers from "../src/Servers.ts"

/** So many servers that answer in 20 ms; the first one may be made otherwise. */
const fleet = (n: number, change: (server: Servers.Server) => void = () => {}) => {
  const servers = Array.from({ length: n }, () => Servers.make({ workers: 64, mean: 20 }))
  change(servers[0])
  return servers
}

const play = (
  scene: Partial<Scene> & { readonly servers: Scene["servers"]; readonly seconds: number },
  seed = 1,
  options: Partial<Roster.Options> = {}
) => {
  const rosters: Array<Roster.Roster> = []
  const settings = { clients: 1, rates: [100 * scene.servers.length], size: Seeded.narrow, ...scene }
  const result = run(
    settings,
    Muster.make(Pick.p2c, options, (roster) => rosters.push(roster)),
    seed
  )
  return { ...result, rosters }
}

const ejections = ({ events }: Result) => events.filter(({ what }) => what === "Ejected").length

const seeds = [0, 1, 2]
const ids = (n: number) => Array.from({ length: n }, (_, server) => server)

/** Pushes back with more than two requests in flight. */
const busy = () => {
  const server = Servers.make({ workers: 2, mean: 20 })
  server.room = 0
  return server
}

describe("Balancing", () => {
  for (const n of [2, 3, 10]) {
    it(`F-s5: of ${n}, one that fails fast while nobody may be ejected is avoided as well, and comes back`, () => {
      const health = { ...Muster.defaults.health, consecutive: Infinity, successRate: 0 }
      for (const seed of seeds) {
        const servers = fleet(n, (server) => (server.mode = "fails"))
        const result = play({ servers, seconds: 25, script: [[10_000, () => (servers[0].mode = "works")]] }, seed, {
          health
        })
        assert.strictEqual(ejections(result), 0)
        assert.isAtMost(share(result, 0, 1, 10), 0.05, `seed ${seed}`)
        assert.isAtLeast(share(result, 0, 20, 25), 0.8, `seed ${seed}`)
      }
    })

    for (const patience of [undefined, 500, 100]) {
      const callers = patience === undefined ? "patient callers" : `callers that give up after ${patience} ms`
      it(`F-s4: of ${n}, one that hangs gets at most 2 % of its fair share after 5 s while the list keeps changing, with ${callers}`, () => {
        for (const seed of seeds) {
          const result = play(
            {
              servers: fleet(n + 1, (server) => (server.mode = "hangs")),
              listed: ids(n),
              rates: [100 * n],
              seconds: 45,
              patience,
              script: Array.from({ length: 8 }, (_, change) => [
                5000 * (change + 1),
                ({ put, remove }) => (change % 2 === 0 ? put(n) : remove(n))
              ])
            },
            seed
          )
          assert.isAtMost(share(result, 0, 5, 45), 0.02, `seed ${seed}`)
          assert.isAtMost(total(result.sent[0], 0, 5), 50, `seed ${seed}`)
        }
      })
    }
  }

  it("F-s8: does not flood an instance that joins cold", () => {
    for (const n of [2, 3, 10]) {
      for (const seed of seeds) {
        const result = play(
          { servers: fleet(n), listed: ids(n).slice(1), seconds: 20, script: [[5000, ({ put }) => put(0, 5000)]] },
          seed
        )
        assert.isBelow(share(result, 0, 5, 6), 0.45, `n ${n} seed ${seed}`)
        assert.isBelow(peak(result, 0, 5, 20), 1.5, `n ${n} seed ${seed}`)
        assert.isAbove(share(result, 0, 16, 20), 0.85, `n ${n} seed ${seed}`)
      }
    }
  })

  it("F-s9: spares an overloaded instance for as long as it asks, and keeps retries inside the budget", () => {
    for (const n of [2, 3, 10]) {
      const some = play({
        servers: [busy(), ...fleet(n - 1)],
        rates: [300 * n],
        seconds: 20,
        attempts: 3
      })
      assert.isBelow(share(some, 0, 1, 20), 0.5, "less traffic")
      assert.strictEqual(some.errorCount, 0)
      assert.strictEqual(ejections(some), 0)
      const storm = play({ servers: ids(n).map(busy), rates: [1000 * n], seconds: 20, attempts: 3 })
      assert.isAtMost(storm.retries, 0.2 * storm.requests + 10 * 20 + 100)
    }
  })

  it("F-s9: a retry storm stays inside the budget when everybody fails", () => {
    const servers = fleet(3)
    for (const server of servers) server.mode = "fails"
    const { retries, requests } = play({ servers, rates: [600], seconds: 30, attempts: 3 })
    assert.isAbove(retries, 0.19 * requests)
    assert.isAtMost(retries, 0.2 * requests + 100)
  })

  it("F-s11: the only instance is used however much it fails", () => {
    const result = play({ servers: fleet(1, (server) => (server.mode = "fails")), seconds: 10 })
    assert.strictEqual(total(result.sent[0], 0, 10), result.requests)
  })

  it("F-c1: callers that give up at random leave nothing in flight and nobody ejected", () => {
    for (const patience of [1, 10, 20, 21]) {
      const result = play({ servers: fleet(3), seconds: 20, patience })
      assert.deepStrictEqual(
        result.rosters.map(({ load }) => load.inFlight),
        [0]
      )
      assert.strictEqual(result.events.length, 0)
    }
  })

  it("spreads evenly, cold starts included", () => {
    for (const n of [2, 3, 10]) {
      for (const rate of [5, 100]) {
        const result = play({ servers: fleet(n), rates: [rate * n], seconds: 60 })
        for (const server of ids(n)) {
          assert.approximately(share(result, server, 0, 60), 1, 0.15, `${server} of ${n} at ${rate}`)
        }
      }
    }
  })

  it("loses nothing to a registry that forgets everybody at once, and nothing but what was under way to dead servers", () => {
    const wiped = play({
      servers: fleet(3),
      seconds: 20,
      attempts: 3,
      script: [[5000, ({ remove }) => remove(0, 1, 2)]]
    })
    assert.strictEqual(wiped.errorCount, 0)
    const dead = fleet(4)
    const killed = play({
      servers: dead,
      seconds: 20,
      attempts: 3,
      script: [
        [5000, ({ remove }) => remove(0, 1)],
        [5001, () => dead.slice(0, 2).forEach((server) => (server.mode = "refuses"))]
      ]
    })
    assert.strictEqual(killed.errorCount, 0)
    assert.strictEqual(total(killed.sent[0], 6, 20), 0, "a held one leaves with its own refusal")
  })
})
