/**
 * The contract of every policy of `Pick`, and of the one that docs/balancing.md shows how to write.
 */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Pick } from "@muster/core"
import { secondLook } from "./fixtures/secondLook.ts"
import { suite } from "./fixtures/PolicyContract.ts"

/** A ring of a hundred points for each instance is only about so even; several samples favour whoever is idle. */
const within: Readonly<Record<string, number>> = { ringHash: 0.3, hotCold: 0.2 }

const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8")

describe("Policies", () => {
  for (const [name, policy] of Object.entries({ ...Pick, secondLook })) suite(name, policy, { within: within[name] })

  it("the documentation shows the policy that is tested here, and lists every policy that there is", () => {
    const page = read("../../../docs/balancing.md")
    assert.include(page, `\`\`\`ts\n${read("./fixtures/secondLook.ts")}\`\`\``)
    for (const name of Object.keys(Pick)) assert.include(page, `| \`${name}\``)
  })
})
