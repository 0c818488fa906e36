import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Result } from "effect"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { Registry, Resolver, Target } from "@muster/core"
import * as FromTarget from "@muster/backends/FromTarget"
import { Place } from "./fixtures/localFile.ts"
import { instance, list, orders, reset, watch } from "./RegistryContract.ts"

const target = (text: string) => Result.getOrThrow(Target.parse(text))
const writable = (text: string) => Result.getOrThrow(Target.parseWritable(text))

const nameOf = (text: string) =>
  Effect.map(Resolver.Resolver, ({ registry }) => registry).pipe(Effect.provide(FromTarget.resolver(target(text))))

const program = fileURLToPath(new URL("./fixtures/loadedBackends.ts", import.meta.url))
const loadedFor = (text: string) =>
  Effect.promise(() => promisify(execFile)(process.execPath, ["--conditions=muster-source", program, text])).pipe(
    Effect.map(({ stdout }) => stdout.trim().split(" "))
  )

describe("FromTarget", () => {
  it.effect("gives the back end that the target names", () =>
    Effect.gen(function* () {
      const { path } = yield* Place
      for (const text of ["memory:", `local:${path}`, "direct:///127.0.0.1:1,[::1]:2", "consul://127.0.0.1:1?dc=x"]) {
        assert.strictEqual(yield* nameOf(text), text)
      }
      assert.strictEqual(yield* nameOf("discov://127.0.0.1:1?prefix=p"), "etcd://127.0.0.1:1?prefix=p")
      assert.strictEqual(yield* nameOf("discov:///127.0.0.1:1?key=dev/orders.rpc"), "etcd://127.0.0.1:1/dev/orders.rpc")
    }).pipe(Effect.provide(Place.layer))
  )

  it.effect("gives a program that registers and discovers at one target one and the same registry", () =>
    Effect.gen(function* () {
      const registry = yield* Registry.Registry
      yield* registry.register(instance(1), Duration.seconds(10))
      assert.deepStrictEqual(yield* list(orders), [instance(1).address])
    }).pipe(
      Effect.provide(Layer.mergeAll(FromTarget.registry(writable("memory:")), FromTarget.resolver(target("memory:"))))
    )
  )

  it("shares one connection between the two ports of a target, however it is written", () => {
    const layer: unknown = FromTarget.registry(writable("etcd://127.0.0.1:1"))
    assert.strictEqual(FromTarget.resolver(target("discov:///127.0.0.1:1?prefix=muster")), layer)
    assert.notStrictEqual(FromTarget.resolver(target("etcd://127.0.0.1:1?prefix=p")), layer)
  })

  it.effect("keeps registries apart whose targets differ", () =>
    Effect.gen(function* () {
      const { path } = yield* Place
      const layerOf = (name: string) => FromTarget.registry(writable(`local:${path}.${name}`))
      yield* Effect.flatMap(Registry.Registry, (it) => it.register(instance(1), Duration.seconds(10))).pipe(
        Effect.provide(layerOf("a"))
      )
      const read = Effect.flatMap(watch(orders), reset).pipe(
        Effect.provide(FromTarget.resolver(target(`local:${path}.b`))),
        Effect.scoped
      )
      assert.strictEqual((yield* Effect.flip(read))._tag, "RegistryError")
    }).pipe(Effect.provide(Place.layer))
  )

  it.live("loads the back end that it needs and no other", () =>
    Effect.gen(function* () {
      const { path } = yield* Place
      assert.deepStrictEqual(yield* loadedFor("memory:"), ["FromTarget", "Memory"])
      assert.deepStrictEqual(yield* loadedFor(`local:${path}`), ["FromTarget", "Local"])
      assert.deepStrictEqual(yield* loadedFor("direct:///127.0.0.1:1"), ["FromTarget", "Direct"])
    }).pipe(Effect.provide(Place.layer))
  )
})
