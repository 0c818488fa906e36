/**
 * The line P7 of the cost table: p99 of the default policy beside an omniscient oracle, with one client and with twenty.
 *
 * A few seeds of two scenarios, for a benchmark that has other things to do; `--all` is the whole comparison.
 */
import { Effect } from "effect"
import { overOracle } from "./Gates.ts"
import { p99 } from "./Measured.ts"
import { plan } from "./Plan.ts"
import { judged } from "./policies.ts"
import { slow } from "./scenarios/slow.ts"
import { steady } from "./scenarios/steady.ts"
import { measureAll } from "./Threads.ts"

export const p7 = Effect.gen(function* () {
  const measured = yield* measureAll(
    plan({ scenarios: [steady, slow], policies: [judged, "oracle"], seeds: [0, 1, 2, 3, 4] })
  )
  return measured
    .filter(({ policy }) => policy === judged)
    .flatMap((own) => {
      const { clients, n, scenario } = own
      const oracle = measured.find(
        (one) => one.policy === "oracle" && one.scenario === scenario && one.n === n && one.clients === clients
      )
      if (oracle === undefined) return []
      const [value, against, bar] = [p99(own), p99(oracle), overOracle(clients)]
      const what = `${scenario}, ${n} servers, ${clients === 1 ? "1 client" : `${clients} clients`}: p99 against an oracle's`
      const ratio = value / against
      return [{ id: "P7", case: what, value, unit: "ms", against, ratio, bar, ok: ratio <= bar }].map(rounded)
    })
    .toSorted((a, b) => a.case.localeCompare(b.case, "en", { numeric: true }))
})

const rounded = <Row extends { readonly value: number; readonly against: number; readonly ratio: number }>(
  row: Row
) => ({
  ...row,
  value: Math.round(row.value * 10) / 10,
  against: Math.round(row.against * 10) / 10,
  ratio: Math.round(row.ratio * 1000) / 1000
})
