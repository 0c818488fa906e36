import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Candidates, Load, Pick, Zones } from "@muster/core"
import { defaults } from "./fixtures/instances.ts"
import { seeded } from "./fixtures/seeded.ts"

type Weights = Readonly<Record<string, ReadonlyArray<number>>>

const names = ["a", "b", "c"] as const

/** The zones as a client in `own` sees them, and how much of its requests go to each instance, by zone. */
const seen = (own: string | undefined, weights: Weights, clients: Readonly<Record<string, number>> = {}) => {
  const zones = Zones.make({ own, clients, minimumSize: 2 })
  const all = Candidates.make()
  const zoneOf: Array<string> = []
  for (const [zone, list] of Object.entries(weights)) {
    for (const weight of list) {
      const slot = zoneOf.push(zone) - 1
      Zones.locate(zones, slot, zone)
      Zones.add(zones, slot, weight)
      Candidates.add(all, slot, weight)
    }
  }
  return { zones, all, zoneOf }
}

/** The share of the requests of a client that each zone gets, by even steps instead of random numbers. */
const shares = ({ all, zoneOf, zones }: ReturnType<typeof seen>, steps = 5000) => {
  const result = new Map<string, number>()
  for (let step = 0; step < steps; step++) {
    const chosen = Zones.choose(zones, all, () => (step + 0.5) / steps)
    if (chosen === all) return "all"
    const zone = zoneOf[Candidates.at(chosen, 0)]
    result.set(zone, (result.get(zone) ?? 0) + 1 / steps)
  }
  return result
}

const shareOf = (result: ReturnType<typeof shares>, zone: string) =>
  result === "all" ? Number.NaN : (result.get(zone) ?? 0)

const Fleet = Schema.Struct({
  a: Schema.Array(Schema.Literals([1, 2, 5])),
  b: Schema.Array(Schema.Literals([1, 2, 5])),
  c: Schema.Array(Schema.Literals([1, 3])),
  clients: Schema.Struct({ a: Schema.Literals([1, 2]), b: Schema.Literals([0, 1, 7]), c: Schema.Literals([1, 3]) })
})

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((total, number) => total + number, 0)

describe("Zones", () => {
  it("do nothing without a zone of one's own, with one zone, or with few instances", () => {
    assert.strictEqual(shares(seen(undefined, { a: [1, 1], b: [1, 1] })), "all")
    assert.strictEqual(shares(seen("a", { a: [1, 1, 1] })), "all")
    assert.strictEqual(shares(seen("a", { a: [1] })), "all")
  })

  it("keeps requests in their zone while it has its share of the capacity", () => {
    assert.approximately(shareOf(shares(seen("a", { a: [1, 1], b: [1, 1] })), "a"), 1, 1e-9)
    assert.approximately(shareOf(shares(seen("a", { a: [1, 1, 1], b: [1] })), "a"), 1, 1e-9)
  })

  it("sends what it cannot serve to zones that have capacity left, in proportion", () => {
    const result = shares(seen("a", { a: [1], b: [4], c: [4] }))
    assert.approximately(shareOf(result, "a"), 1 / 3, 1e-3)
    assert.approximately(shareOf(result, "b"), 1 / 3, 1e-3)
    const uneven = shares(seen("a", { a: [1], b: [3], c: [5] }))
    assert.strictEqual(shareOf(uneven, "b"), 0)
    assert.approximately(shareOf(uneven, "c"), 2 / 3, 1e-3)
  })

  it("goes to the others when nobody is left at home", () => {
    const result = shares(seen("a", { b: [1, 1], c: [1, 1] }))
    assert.approximately(shareOf(result, "b"), 0.5, 1e-3)
  })

  it("goes to the others when nobody is in use at home, whatever is said of the clients there", () => {
    for (const clients of [
      { a: 0, b: 10 },
      { a: 0, b: 0 },
      { a: 1, b: 10 }
    ]) {
      const world = seen("a", { a: [1], b: [1, 1, 1, 1, 1, 1] }, clients)
      Zones.remove(world.zones, 0)
      Candidates.remove(world.all, 0)
      const result = shares(world)
      if (result !== "all") assert.approximately(shareOf(result, "b"), 1, 1e-9)
    }
  })

  it("does not take what rounding leaves for capacity", () => {
    for (const [b, c] of [
      [1, 5],
      [6, 7],
      [8, 1]
    ]) {
      const world = seen("a", { a: [1], b: [b / 10], c: [c / 10] }, { a: 0, b, c })
      Zones.remove(world.zones, 0)
      Candidates.remove(world.all, 0)
      assert.strictEqual(shares(world), "all")
    }
  })

  it.prop(
    "when all clients do so, every instance has the same load by weight",
    [Fleet],
    ([{ clients, ...weights }]) => {
      const total = sum(names.flatMap((zone) => weights[zone]))
      if (names.filter((zone) => weights[zone].length > 0).length < 2) return
      const everybody = clients.a + clients.b + clients.c
      const load = new Map<string, number>()
      for (const own of names.filter((zone) => clients[zone] > 0)) {
        const result = shares(seen(own, weights, clients), 20_000)
        for (const zone of names) {
          load.set(zone, (load.get(zone) ?? 0) + (shareOf(result, zone) * clients[own]) / everybody)
        }
      }
      for (const zone of names) assert.approximately(load.get(zone) ?? 0, sum(weights[zone]) / total, 1e-3, zone)
    }
  )

  it("follows who comes into use and goes, and the weights", () => {
    const world = seen("a", { a: [1, 1, 1], b: [1, 1, 1] })
    assert.approximately(shareOf(shares(world), "a"), 1, 1e-9)
    Zones.remove(world.zones, 0)
    Candidates.remove(world.all, 0)
    assert.approximately(shareOf(shares(world), "a"), 0.8, 1e-3)
    Zones.add(world.zones, 0, 1)
    Candidates.add(world.all, 0, 1)
    assert.approximately(shareOf(shares(world), "a"), 1, 1e-9)
  })

  it("sends a key to the same zone from every client, in whichever order they met the zones", () => {
    const one = seen("a", { a: [1], b: [4], c: [4] })
    const other = seen("a", { c: [4], a: [1], b: [4] })
    for (let index = 0; index < 1000; index++) {
      const [first, second] = [one, other].map(({ all, zoneOf, zones }) => {
        const chosen = Zones.choose(zones, all, seeded(1), `key-${index}`)
        return zoneOf[Candidates.at(chosen, 0)]
      })
      assert.strictEqual(first, second)
    }
  })

  it("gives each zone keys from all over the ring", () => {
    const load = Load.make(defaults.load)
    const { all, zones } = seen("a", { a: [1, 1, 1, 1], b: [4, 4], c: [4, 4] })
    for (let slot = 0; slot < all.size; slot++) Load.join(load, 1, 0, Math.floor(seeded(slot)() * 2 ** 32))
    const counts = [0, 0, 0, 0]
    for (let index = 0; index < 4000; index++) {
      const chosen = Zones.choose(zones, all, seeded(1), `key-${index}`)
      if (Candidates.has(chosen, 0)) counts[Pick.ringHash(chosen, load, 0, seeded(1), `key-${index}`)]++
    }
    const mean = counts.reduce((sum, count) => sum + count, 0) / 4
    for (const count of counts) assert.approximately(count / mean, 1, 0.4)
  })

  it("sends a key to the same zone each time, and keys to zones as other requests", () => {
    const { all, zones } = seen("a", { a: [1], b: [4], c: [4] })
    const zoneOf = (key: string) => Zones.choose(zones, all, seeded(1), key)
    const keys = Array.from({ length: 3000 }, (_, index) => `key-${index}`)
    const home = keys.filter((key) => Candidates.has(zoneOf(key), 0)).length
    assert.approximately(home / keys.length, 1 / 3, 0.04)
    assert.isTrue(keys.every((key) => zoneOf(key) === zoneOf(key)))
  })
})
