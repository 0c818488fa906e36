/**
 * That the simulator tells the truth: queues as theory has them, and the shares that were measured with go-zero itself.
 */
import { assert, describe, it } from "@effect/vitest"
import { Pick } from "@muster/core"
import { run, type Scene } from "../src/Engine.ts"
import * as Fairness from "../src/Fairness.ts"
import * as Histogram from "../src/Histogram.ts"
import { goZero } from "../src/models/goZero.ts"
import { roundRobin } from "../src/models/roundRobin.ts"
import * as Muster from "../src/Muster.ts"
import { share, total } from "../src/Scenario.ts"
import * as Seeded from "../src/Seeded.ts"
import * as Servers from "../src/Servers.ts"

const wide = (n: number) => Array.from({ length: n }, () => Servers.make({ workers: 64, mean: 20 }))

const scene = (servers: ReadonlyArray<Servers.Server>, rate: number, seconds: number): Scene => ({
  servers,
  clients: 1,
  rates: [rate],
  seconds,
  size: Seeded.narrow
})

const counts = (n: number, make: Parameters<typeof run>[1], rate: number, seconds: number, weights?: Array<number>) => {
  const result = run({ ...scene(wide(n), rate, seconds), weights }, make, 1)
  return result.sent.map((sent) => total(sent, 0, result.seconds))
}

/** Muster's default, but three requests of a hundred that are s0's in any case. */
const biased: Pick.Policy = (candidates, load, now, random) =>
  random() < 0.03 ? 0 : Pick.p2c(candidates, load, now, random)

const withErrors = (seed: number) => {
  const servers = wide(3)
  for (const server of servers) server.errors = 0.1
  return run(scene(servers, 300, 20), Muster.make(Pick.p2c), seed)
}

/** Ten servers, one of which hangs; with churn an eleventh comes and goes every five seconds. */
const hanging = (churn: boolean): Scene => {
  const servers = wide(11)
  servers[0].mode = "hangs"
  return {
    ...scene(servers, 1000, 60),
    listed: Array.from({ length: 10 }, (_, server) => server),
    script: Array.from({ length: churn ? 11 : 0 }, (_, change) => [
      5000 * (change + 1),
      ({ put, remove }) => (change % 2 === 0 ? put(10) : remove(10))
    ])
  }
}

/** The share of all requests that go-zero's model sends to it. */
const toHanging = (churn: boolean) => {
  const result = run(hanging(churn), goZero, 1)
  return total(result.sent[0], 5, 60) / result.sent.reduce((sum, one) => sum + total(one, 5, 60), 0)
}

describe("Simulator", () => {
  it("lets requests wait as long as queueing theory says", () => {
    const server = Servers.make({ workers: 4, mean: 20 })
    const settings: Scene = { ...scene([server], 150, 10_000), size: Seeded.exponential }
    const { latencies } = run(settings, roundRobin, 1)
    // M/M/4 at three quarters: P(latency > t) = (1 + C·μt)·exp(−μt), with C = 0.509 by Erlang's formula.
    for (const [quantile, expected] of [
      [0.5, 23.1],
      [0.9, 65.7],
      [0.99, 120.1]
    ]) {
      assert.approximately(Histogram.quantile(latencies, quantile) / expected, 1, 0.03, `${quantile}`)
    }
  })

  it("is the same run for the same seed, and another for another one", () => {
    assert.deepStrictEqual(withErrors(1), withErrors(1))
    assert.notDeepEqual(withErrors(1).sent, withErrors(2).sent)
  })

  it("reproduces the shares that go-zero's balancer gives to a server that fails fast", () => {
    for (const [n, expected] of [
      [2, 0.995],
      [3, 0.3],
      [4, 0.125],
      [5, 0.064]
    ]) {
      const servers = wide(n)
      servers[0].mode = "fails"
      const result = run(scene(servers, 500, 60), goZero, 1)
      assert.approximately(share(result, 0, 20, 60) / n, expected, 0.01, `${n}`)
    }
  })

  it("reproduces what go-zero sends to a server that hangs, with and without changes of the list", () => {
    assert.isBelow(toHanging(false), 0.002)
    assert.approximately(toHanging(true), 0.08, 0.02)
  })

  it("finds the default policy uniform, by chi-square, and a bias of 3 % not", () => {
    for (const n of [3, 10]) {
      const even = Array.from({ length: n }, () => 1 / n)
      const bar = Fairness.critical(n - 1)
      assert.isBelow(Fairness.chiSquare(counts(n, Muster.make(Pick.p2c), 100 * n, 1000 / n), even), bar, `${n}`)
      assert.isAbove(Fairness.chiSquare(counts(n, Muster.make(biased), 100 * n, 1000 / n), even), bar, `${n}`)
    }
  })

  it("finds the shares to be what the weights say, by chi-square, and with a bias of 3 % not", () => {
    const weights = [1, 2, 4]
    const shares = weights.map((weight) => weight / 7)
    const bar = Fairness.critical(2)
    for (const [rate, seconds] of [
      [20, 3000],
      [600, 160]
    ]) {
      assert.isBelow(Fairness.chiSquare(counts(3, Muster.make(Pick.p2c), rate, seconds, weights), shares), bar)
      assert.isAbove(Fairness.chiSquare(counts(3, Muster.make(biased), rate, seconds, weights), shares), bar)
    }
  })
})
