import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { HttpClient } from "effect/http"
import { get, ok, scripted } from "./fixtures/scriptedClient.ts"
import { balanced, instance } from "./fixtures/staticService.ts"

class Ours extends Context.Service<Ours, HttpClient.HttpClient>()("test/Ours") {}
class Theirs extends Context.Service<Theirs, HttpClient.HttpClient>()("test/Theirs") {}

/** Two clients, each over a registry of its own, and the ports at which they find the service. */
const world = () => {
  const { asked, layer } = scripted(ok)
  const over = (port: number) => balanced(layer, [instance(`i${port}`, port)])
  const ours = Layer.provide(Layer.effect(Ours, HttpClient.HttpClient), over(1))
  const theirs = Layer.provide(Layer.effect(Theirs, HttpClient.HttpClient), over(2))
  const ports = Effect.gen(function* () {
    for (const client of [yield* Ours, yield* Theirs]) yield* Effect.provideService(get, HttpClient.HttpClient, client)
    return asked.map(({ url }) => Number(new URL(url).port))
  })
  return { ours, ports, theirs }
}

describe("Two registries in one program", () => {
  it.effect("are apart if the second stack of layers is fresh", () => {
    const { ours, ports, theirs } = world()
    return Effect.gen(function* () {
      assert.deepStrictEqual(yield* ports, [1, 2])
    }).pipe(Effect.provide(Layer.mergeAll(ours, Layer.fresh(theirs))))
  })

  it.effect("are one if it is not, because the same layer is built once", () => {
    const { ours, ports, theirs } = world()
    return Effect.gen(function* () {
      const [first, second] = yield* ports
      assert.strictEqual(first, second)
    }).pipe(Effect.provide(Layer.mergeAll(ours, theirs)))
  })
})
