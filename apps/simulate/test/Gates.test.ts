/**
 * A part of `npm run simulate -- --all` that takes seconds: the default policy passes its gates in small scenes.
 */
import { assert, describe, it } from "@effect/vitest"
import { judge } from "../src/Gates.ts"
import { type Measured, measure } from "../src/Measured.ts"
import { plan } from "../src/Plan.ts"
import { plot } from "../src/Plot.ts"
import { scenarios } from "../src/scenarios.ts"

const named = (name: string) => {
  const scenario = scenarios.find((one) => one.name === name)
  if (scenario === undefined) throw new Error(`no scenario ${name}`)
  return scenario
}

const measured = (name: string, sizes: ReadonlyArray<number>, policies: ReadonlyArray<string>, seeds: number) =>
  plan({
    scenarios: [named(name)],
    sizes,
    policies,
    seeds: Array.from({ length: seeds }, (_, seed) => seed)
  }).map((what) => measure(named(name), what))

const verdicts = (name: string, all: ReadonlyArray<Measured>) =>
  named(name).sizes.flatMap((n) =>
    named(name).clients.flatMap((clients) =>
      judge(
        named(name),
        all.filter((one) => one.n === n && one.clients === clients)
      )
    )
  )

const missed = (name: string, all: ReadonlyArray<Measured>) => verdicts(name, all).filter(({ ok }) => !ok)

describe("Gates", () => {
  for (const name of ["slow", "failing", "breaking", "hanging", "temporary", "recovering"]) {
    it(`passes ${name} with two and three servers`, () => {
      const all = measured(name, [2, 3], ["muster", "oracle", "finagle", "go-zero"], 2)
      assert.isAbove(verdicts(name, all).length, 4)
      assert.deepStrictEqual(missed(name, all), [])
    })
  }

  it("passes steady with two, three and ten", () => {
    assert.deepStrictEqual(missed("steady", measured("steady", [2, 3, 10], ["muster", "oracle", "round-robin"], 2)), [])
  })

  it("passes cold-one, the storm and wiped with three", () => {
    for (const name of ["cold-one", "storm", "wiped"]) {
      assert.deepStrictEqual(missed(name, measured(name, [3], ["muster", "oracle"], 2)), [])
    }
  })

  it("F-s7: passes ten minutes of 1 % errors at 1 000 requests per second and server, with two", () => {
    for (const name of ["errors-of-one", "errors"]) {
      assert.deepStrictEqual(missed(name, measured(name, [2], ["muster"], 1)), [])
    }
  })

  it("honours weights within 2 % at 20 and at 600 requests per second", () => {
    for (const name of ["weights-20", "weights-600"]) {
      assert.deepStrictEqual(missed(name, measured(name, [3], ["muster"], 20)), [])
    }
  })

  it("is missed by policies that deserve it", () => {
    const [own, oracle] = measured("slow", [2], ["round-robin", "oracle"], 1).filter(({ clients }) => clients === 1)
    const pretending = [own, oracle].map((one) => (one.policy === "oracle" ? one : { ...one, policy: "muster" }))
    assert.deepStrictEqual(
      judge(named("slow"), pretending).map(({ ok }) => ok),
      [false, false]
    )
  })

  it("draws a picture with a line for each policy", () => {
    const picture = plot("steady", measured("steady", [2], ["muster", "oracle"], 1))
    assert.match(picture, /^<svg .*<\/svg>\n$/s)
    assert.strictEqual(picture.match(/<polyline/g)?.length, 2 * 2 * 2)
  })
})
