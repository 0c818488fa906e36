/**
 * One process that keeps 1 000 instances registered in Consul, and in Nacos over either protocol, at the default time to
 * live of 10 s.
 *
 * Against 5 % of a core, and beside as many renewals sent with undici's own `request` over connections that are kept
 * alive, in another process over the same time. Over gRPC nothing is sent for a renewal, so there is nothing beside it.
 */
import { Effect } from "effect"
import * as Child from "./Child.ts"
import * as Registries from "./registries.ts"
import { make } from "./Row.ts"
import * as Usage from "./Usage.ts"

const instances = 1000
const limit = 5

const kept = (name: Registries.Name, isBeside: boolean) =>
  Effect.gen(function* () {
    const { id, said } = Registries.described[name]
    const row = (what: string, value: number, unit: string, against: number, bar?: number) =>
      make({
        id,
        case: `${said}: 1 000 registrations kept alive: ${what}`,
        value,
        unit,
        against,
        ...(bar === undefined ? {} : { bar })
      })
    const address = yield* Registries.serve(name)
    const muster = yield* Child.start("registrants", [name, address, String(instances)])
    yield* muster.hear
    const bare = isBeside ? yield* Child.start("bareRenewals", [name, address, String(instances)]) : undefined
    if (bare !== undefined) yield* bare.hear
    // By then what runs three hundred times a second is compiled, which takes the most part of a minute.
    yield* Effect.sleep("60 seconds")
    const [one, other] = yield* Usage.during(
      [muster, ...(bare === undefined ? [] : [bare])],
      Effect.sleep("40 seconds")
    )
    if (one === undefined) return []
    const processor = row(`processor, against ${limit} % of a core`, one.core, "% of a core", limit, 1)
    if (other === undefined) return [processor]
    return [
      processor,
      row("processor, beside bare renewals over kept-alive connections", one.core, "% of a core", other.core),
      row("renewals a second, beside the bare ones", one.rate, "renewals", other.rate)
    ]
  }).pipe(Effect.scoped)

export const consulLeases = kept("consul", true)

export const nacosLeases = Effect.map(Effect.all([kept("nacosHttp", true), kept("nacosGrpc", false)]), (rows) =>
  rows.flat()
)
