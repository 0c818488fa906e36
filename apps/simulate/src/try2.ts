import { scenarios } from "./scenarios.ts"
import { measure, p99, p99OfAll, errorRate } from "./Measured.ts"
import { judge } from "./Gates.ts"
import { compared } from "./policies.ts"
const [, , which, ns, cs, nseeds] = process.argv
let cpu = 0
for (const s of scenarios.filter((s) => which === "all" || which.split(",").includes(s.name)))
  for (const n of s.sizes)
    for (const clients of s.clients) {
      if (ns && ns !== "all" && !ns.split(",").includes(String(n))) continue
      if (cs && cs !== "all" && !cs.split(",").includes(String(clients))) continue
      const list = s.rivals?.length === 0 ? ["muster"] : compared
      const seeds = Array.from({ length: Math.min(s.seeds, Number(nseeds ?? 3)) }, (_, i) => i)
      const m = list.map((policy) => measure(s, { scenario: s.name, policy, n, clients, seeds }))
      cpu += (m.reduce((a, b) => a + b.milliseconds, 0) / seeds.length) * s.seeds
      console.log(
        `## ${s.name} n=${n} c=${clients}`,
        m
          .map(
            (x) =>
              `${x.policy}:${p99(x).toFixed(0)}/${p99OfAll(x).toFixed(0)} e${(100 * errorRate(x)).toFixed(2)} r${((100 * x.retries) / x.requests).toFixed(1)} ${((x.milliseconds * 1000) / x.requests).toFixed(2)}us`
          )
          .join(" | ")
      )
      console.log(
        "   ",
        Object.entries(m[0].figures)
          .map(([k, v]) => `${k}: ${Math.min(...v).toFixed(3)}..${Math.max(...v).toFixed(3)}`)
          .join("; ")
      )
      for (const v of judge(s, m)) if (!v.ok) console.log("    MISS", v.gate, v.value, v.bar)
    }
const u = process.cpuUsage()
console.log("cpu used", (u.user / 1e6).toFixed(0))
console.log("cpu for all seeds s", (cpu / 1000).toFixed(0))
