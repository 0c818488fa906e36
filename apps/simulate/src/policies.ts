/**
 * Every policy that the simulator knows, by name: Muster's own, and the models of others.
 */
import { Pick } from "@muster/core"
import type { Make } from "./Client.ts"
import { goZero } from "./models/goZero.ts"
import { hotCold } from "./models/hotCold.ts"
import { leastLoaded } from "./models/leastLoaded.ts"
import { oracle } from "./models/oracle.ts"
import { peakEwma } from "./models/peakEwma.ts"
import { roundRobin } from "./models/roundRobin.ts"
import * as Muster from "./Muster.ts"

const own = {
  muster: Muster.make(Pick.p2c),
  "muster-least-loaded": Muster.make(Pick.leastLoaded),
  "muster-round-robin": Muster.make(Pick.roundRobin)
}

const models = {
  "round-robin": roundRobin,
  "least-loaded": leastLoaded,
  "go-zero": goZero,
  finagle: peakEwma,
  prequal: hotCold,
  oracle
}

export const policies: Readonly<Record<string, Make>> = { ...own, ...models }

/** The one that is judged. */
export const judged = "muster"

/** Those that it must not be worse than. */
export const rivals: ReadonlyArray<string> = ["round-robin", "least-loaded", "go-zero", "finagle"]

/** What is compared by default: the judged one, its rivals, and what p99 is held against. */
export const compared: ReadonlyArray<string> = [judged, ...rivals, "oracle"]
