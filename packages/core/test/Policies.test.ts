import { describe } from "@effect/vitest"
import { Pick } from "@muster/core"
import { suite } from "./fixtures/PolicyContract.ts"

/** A ring of a hundred points for each instance is only about so even; four samples favour whoever is idle. */
const within: Readonly<Record<string, number>> = { ringHash: 0.3, hotCold: 0.2 }

describe("Policies", () => {
  for (const [name, policy] of Object.entries(Pick)) suite(name, policy, { within: within[name] })
})
