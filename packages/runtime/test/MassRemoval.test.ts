import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, HashMap, Layer, References } from "effect"
import { TestClock } from "effect/testing"
import { DiscoveryState, Outcome } from "@muster/core"
import { Balancer, ConnectProbe, Discovery } from "@muster/runtime"
import { endpoint, make, service, settle } from "./fixtures/ScriptedResolver.ts"

const ten = Array.from({ length: 10 }, (_, i) => endpoint(`i${i}`, { port: 1 + i }))
const dead = new Set(ten.slice(2).map(({ id }) => id))

const heldBy = ({ current }: Discovery.Subscription) => {
  const state = current()
  return DiscoveryState.isKnown(state) ? HashMap.size(state.held) : 0
}

describe("mass removal under load", () => {
  it.effect("F-s3: kill -9 of 8 of 10 holds nobody after 2 s of requests, and no request fails", () => {
    const script = make()
    return Effect.gen(function* () {
      const discovery = yield* Discovery.Discovery
      const balancer = yield* Balancer.Balancer
      const orders = yield* discovery.subscribe(service)
      yield* settle
      yield* script.reset(...ten)

      /** Refused by the dead, and then sent elsewhere, as the HTTP client does. */
      const request = Effect.gen(function* () {
        const after: Array<Balancer.Attempt> = []
        while (true) {
          const exit = yield* balancer
            .use(
              service,
              ({ id }, attempt) => {
                after.push(attempt)
                return dead.has(id) ? Effect.fail("refused") : Effect.void
              },
              {
                after: [...after],
                isRepeatable: true,
                classify: (exit) => (Exit.isSuccess(exit) ? Outcome.succeeded : Outcome.refused)
              }
            )
            .pipe(Effect.exit)
          if (Exit.isSuccess(exit) || after.length >= 10) return exit
        }
      })

      yield* script.remove(...dead)
      assert.strictEqual(heldBy(orders), 8)
      for (let n = 0; n < 200; n++) {
        assert.isTrue(Exit.isSuccess(yield* request), `request ${n}`)
        yield* TestClock.adjust("10 millis")
      }
      assert.strictEqual(heldBy(orders), 0)
    }).pipe(
      Effect.provide(Balancer.layer.pipe(Layer.provideMerge(Discovery.layer), Layer.provide(script.layer))),
      // The connect probes are blind here: only requests tell.
      Effect.provideService(ConnectProbe.ConnectProbe, () => Effect.succeed("unknown" as const)),
      Effect.provideService(References.MinimumLogLevel, "None")
    )
  })
})
