import { Pick } from "@muster/core"
import { run, type Scene } from "./Engine.ts"
import * as Servers from "./Servers.ts"
import * as Seeded from "./Seeded.ts"
import * as Histogram from "./Histogram.ts"
import * as Muster from "./Muster.ts"
import { roundRobin } from "./models/roundRobin.ts"
import { leastLoaded } from "./models/leastLoaded.ts"
import { goZero } from "./models/goZero.ts"
import { peakEwma } from "./models/peakEwma.ts"
import { hotCold } from "./models/hotCold.ts"
import { oracle } from "./models/oracle.ts"

const policies = { muster: Muster.make(Pick.p2c), roundRobin, leastLoaded, goZero, peakEwma, hotCold, oracle }
const pick = process.argv[2] ?? "steady"
const workers = Number(process.argv[3] ?? 8)
for (const n of [2, 3, 10, 100])
  for (const clients of [1, 20]) {
    const row: string[] = []
    for (const [name, make] of Object.entries(policies)) {
      const h = Histogram.make()
      let errors = 0,
        requests = 0,
        share = 0
      const t = performance.now()
      const seeds = n === 100 ? 2 : 5
      for (let seed = 0; seed < seeds; seed++) {
        const well = pick === "steady" ? n : pick === "slow" ? n - 0.9 : n - 1
        const mean = ((0.75 * workers * well) / (100 * n)) * 1000
        const servers = Array.from({ length: n }, () => Servers.make({ workers, mean }))
        if (pick === "slow") servers[0].mean *= 10
        if (pick === "fails") servers[0].mode = "fails"
        if (pick === "breaks") servers[0].mode = "breaks"
        const scene: Scene = { servers, clients, rates: [100 * n], seconds: 20, size: Seeded.exponential }
        const r = run(scene, make, seed)
        Histogram.add(h, r.latencies)
        errors += r.errorCount
        requests += r.requests
        share += ((r.sent[0].reduce((a, b) => a + b, 0) / r.requests) * n) / seeds
      }
      const us = ((performance.now() - t) * 1000) / requests
      row.push(
        `${name} ${Histogram.quantile(h, 0.99).toFixed(0)} e${((100 * errors) / requests).toFixed(2)} s${share.toFixed(3)} ${us.toFixed(2)}us`
      )
    }
    console.log(n, clients, row.join(" | "))
  }
