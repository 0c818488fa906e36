/**
 * One process that keeps 1 000 instances registered in Consul, and in Nacos over either protocol, at the default time to
 * live of 10 s.
 *
 * Against 5 % of a core, and beside as many renewals sent with undici's own `request` over connections that are kept
 * alive, in another process, to a registry of its own, afterwards: what another client empties of the caches of two cores
 * is no cost of this one. Over gRPC nothing is sent for a renewal, so there is nothing beside it.
 */
import { Effect } from "effect"
import * as Child from "./Child.ts"
import * as Registries from "./registries.ts"
import { make } from "./Row.ts"
import * as Usage from "./Usage.ts"

const instances = 1000
const limit = 5

/** What a program uses that renews all of them, with nobody else at work. */
const use = (program: string, name: Registries.Name) =>
  Effect.gen(function* () {
    const address = yield* Registries.serve(name)
    const child = yield* Child.start(program, [name, address, String(instances)])
    yield* child.hear
    // By then what runs three hundred times a second is compiled, which takes the most part of a minute.
    yield* Effect.sleep("60 seconds")
    return yield* Usage.during([child], Effect.sleep("40 seconds"))
  }).pipe(Effect.scoped)

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
    const [muster] = yield* use("registrants", name)
    if (muster === undefined) return []
    const processor = row(`processor, against ${limit} % of a core`, muster.core, "% of a core", limit, 1)
    if (!isBeside) return [processor]
    const [bare] = yield* use("bareRenewals", name)
    if (bare === undefined) return [processor]
    return [
      processor,
      row("processor, beside bare renewals over kept-alive connections", muster.core, "% of a core", bare.core),
      row("renewals a second, beside the bare ones", muster.rate, "renewals", bare.rate)
    ]
  })

export const consulLeases = kept("consul", true)

export const nacosLeases = Effect.map(Effect.all([kept("nacosHttp", true), kept("nacosGrpc", false)]), (rows) =>
  rows.flat()
)
