import { assert, describe, it } from "@effect/vitest"
import { Tally } from "../src/Tally.ts"

const errand = (sequence: number) => ({
  sequence,
  kind: "place" as const,
  order: `mine-${sequence}`,
  dueAt: 0,
  addresses: []
})

describe("Tally", () => {
  it("counts for each act what failed in it and which of its own orders were executed twice", () => {
    const tally = new Tally("a client")
    tally.begin("kill", 3)
    for (const sequence of [0, 1, 2]) tally.due(errand(sequence))
    tally.begin("wiped", 3)
    tally.due(errand(3))
    tally.done(errand(0), 1, "nobody answered")
    for (const sequence of [1, 2, 3]) tally.done(errand(sequence), 1, undefined)
    const repeated = ["mine-1", "mine-3", "another-2"]
    assert.deepStrictEqual([tally.broken("kill", repeated), tally.broken("wiped", repeated)], [2, 1])
    assert.deepStrictEqual([tally.broken("kill", []), tally.broken("wiped", [])], [1, 0])
    assert.isNaN(tally.broken("never played", repeated))
  })
})
