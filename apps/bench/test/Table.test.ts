import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { make } from "../src/Row.ts"
import * as Table from "../src/Table.ts"

const rows = [
  make({ id: "P0", case: "a limit of nothing", value: 1, against: 0, unit: "requests", bar: 0 }),
  make({ id: "P10", case: "a | beside a peer", value: 3, against: 2, unit: "µs" })
]

describe("Table", () => {
  it("aligns the columns, and calls something against nothing infinite", () => {
    assert.deepStrictEqual(Table.text(rows).split("\n"), [
      "   id   case                value       against     ratio  bar",
      "✗  P0   a limit of nothing  1 requests  0 requests  ∞      ≤ 0",
      "   P10  a | beside a peer   3 µs        2 µs        1.5    –"
    ])
  })

  it.effect("says in Markdown when, how and on what it was measured", () =>
    Effect.gen(function* () {
      const [measured = "", empty, ...lines] = (yield* Table.markdown(rows, "npm run bench")).split("\n")
      assert.match(
        measured,
        /^Measured on 1970-01-01 by `npm run bench` on \d+ × .+, \d+ GB, .+, Node \d+\.\d+\.\d+\.$/
      )
      assert.strictEqual(empty, "")
      assert.deepStrictEqual(lines, [
        "|  | id | case | value | against | ratio | bar |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| ✗ | P0 | a limit of nothing | 1 requests | 0 requests | ∞ | ≤ 0 |",
        "|   | P10 | a \\| beside a peer | 3 µs | 2 µs | 1.5 | – |"
      ])
    })
  )
})
