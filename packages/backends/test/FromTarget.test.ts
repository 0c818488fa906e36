import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Option, Redacted, Result } from "effect"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { Policy, Registry, Resolver, Target } from "@muster/core"
import * as FromTarget from "@muster/backends/FromTarget"
import type * as ConsulAgent from "./fixtures/consulAgent.ts"
import { certificate, temporary } from "./fixtures/files.ts"
import { Place } from "./fixtures/localFile.ts"
import type * as NacosServer from "./fixtures/nacosServer.ts"
import * as Program from "./fixtures/Program.ts"
import * as steps from "./fixtures/steps.ts"
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

const secret = Redacted.make("secret")
const login = { user: "shop", password: secret }
/** A slow machine is no fault. */
const patient = Layer.succeed(Policy.CallDeadline, Duration.seconds(15))

/** Registers at a target, and finds what was registered there. */
const registersAndFinds = (text: string, access: FromTarget.Access) =>
  Effect.gen(function* () {
    yield* steps.register(instance(1))
    assert.deepStrictEqual(steps.ids(yield* steps.list), ["i-1"])
  }).pipe(
    Effect.provide(
      Layer.mergeAll(FromTarget.registry(writable(text), access), FromTarget.resolver(target(text), access)).pipe(
        Layer.provide(patient)
      )
    )
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

  it.live("takes a token and TLS to Consul", () =>
    Effect.gen(function* () {
      const tls = yield* certificate(yield* temporary)
      const tokens = { secret: { read: ["orders"], write: ["orders"], node: true } }
      const agent = yield* Program.make<ConsulAgent.Options, ConsulAgent.Faults>("./consulAgent.ts", { tls, tokens })
      const text = `consul://127.0.0.1:${agent.ports[0]}`
      yield* registersAndFinds(text, { token: secret, tls })
      const stranger = FromTarget.registry(writable(text), { tls }).pipe(Layer.provide(patient))
      yield* steps.fails(steps.register(instance(2)), "PermissionDenied", /./).pipe(Effect.provide(stranger))
    })
  )

  it.live("takes a login and TLS to Nacos", () =>
    Effect.gen(function* () {
      const tls = yield* certificate(yield* temporary)
      const options: NacosServer.Options = { apis: ["v3"], users: { shop: ["secret", "rw"] }, tls }
      const server = yield* Program.make<NacosServer.Options, NacosServer.Faults>("./nacosServer.ts", options)
      yield* registersAndFinds(`nacos://127.0.0.1:${server.ports[0]}`, { login, tls })
    })
  )

  it.effect("refuses what means nothing to the registry", () =>
    Effect.gen(function* () {
      const { path } = yield* Place
      const token = secret
      const refusals = [
        ["memory:", { token }, "memory: takes no token"],
        [`local:${path}`, { login, tls: {} }, `local:${path} takes no login and no tls`],
        ["direct:///127.0.0.1:1", { token, id: 7 }, "direct:///127.0.0.1:1 takes no token and no id"],
        ["k8s://shop/orders", { token }, "k8s://shop/orders takes no token"],
        ["consul://127.0.0.1:1", { token, login }, "consul://127.0.0.1:1 takes no login"],
        ["nacos://127.0.0.1:1", { login, id: 7 }, "nacos://127.0.0.1:1/ takes no id"],
        ["etcd://127.0.0.1:1", { login, id: 7 }, "etcd://127.0.0.1:1?prefix=muster takes no id"],
        ["etcd:///127.0.0.1:1?key=k", { login, token, id: 7 }, "etcd:///127.0.0.1:1?key=k takes no token"]
      ] as const
      for (const [text, access, message] of refusals) {
        const built = [
          Effect.asVoid(Layer.build(FromTarget.resolver(target(text), access))),
          ...Option.toArray(Result.getSuccess(Target.parseWritable(text))).map((to) =>
            Effect.asVoid(Layer.build(FromTarget.registry(to, access)))
          )
        ]
        for (const build of built) {
          const error = yield* Effect.flip(build)
          assert.deepStrictEqual([error._tag, error.message], ["AccessError", message])
        }
      }
    }).pipe(Effect.provide(Place.layer))
  )

  it("keeps apart who asks, and shares what is asked by nobody in particular", () => {
    const etcd = writable("etcd://127.0.0.1:1")
    const anonymous: unknown = FromTarget.registry(etcd)
    assert.strictEqual(FromTarget.resolver(etcd, {}), anonymous)
    assert.strictEqual(FromTarget.resolver(etcd, { login: undefined, tls: undefined }), anonymous)
    const shop: unknown = FromTarget.registry(etcd, { login })
    assert.notStrictEqual(shop, anonymous)
    assert.notStrictEqual(FromTarget.registry(etcd, { login: { ...login, user: "other" } }), shop)
  })
})
