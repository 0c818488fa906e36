/**
 * From the registration in one process until a client in another one may pick the instance, in Consul and in Nacos.
 *
 * Against what is promised: 100 ms in Consul, whose blocking queries answer at once; 1 s for a push of Nacos, which
 * merges what happens within half a second; and over HTTP the longest pause between two looks. Registrations come now
 * and then, as they do: a registry that changes all the time is read at a pace (`Policy.Poll`), which is not measured.
 */
import { Discovery } from "@muster/runtime"
import { Duration, Effect, Layer } from "effect"
import * as Child from "./Child.ts"
import * as Registries from "./registries.ts"
import { make, quantile } from "./Row.ts"
import { pickable, timed } from "./seen.ts"

const warmUps = 3

/** `limit` is in milliseconds. Of a hundred rounds the p99 counts, of fewer the worst. */
const seen = (name: Registries.Name, rounds: number, limit: number) =>
  Effect.gen(function* () {
    const { id, said } = Registries.described[name]
    const address = yield* Registries.serve(name)
    const writer = yield* Child.start("registryWriter", [name, address])
    yield* writer.hear
    const times: Array<number> = []
    yield* Effect.gen(function* () {
      const instance = yield* pickable
      for (let round = -warmUps; round < rounds; round++) {
        yield* Effect.sleep(Duration.millis(300))
        const name = `i${round + warmUps}`
        const time = yield* timed(writer, name, instance(name))
        if (round >= 0) times.push(time)
      }
    }).pipe(Effect.provide(Layer.provide(Discovery.layer, Registries.layer(name, address))))

    const row = (what: string, value: number) =>
      make({
        id,
        case: `${said}: registered → pickable in another process, ${what}, against ${limit} ms`,
        value,
        against: limit,
        unit: "ms",
        bar: 1
      })
    return [row("p50", quantile(times, 0.5)), row(rounds < 100 ? `worst of ${rounds}` : "p99", quantile(times, 0.99))]
  }).pipe(Effect.scoped)

export const consulLatency = seen("consul", 100, 100)

/** The pause between two looks is a second by default, give or take a fifth. */
export const nacosLatency = Effect.map(Effect.all([seen("nacosGrpc", 30, 1000), seen("nacosHttp", 30, 1200)]), (rows) =>
  rows.flat()
)
