import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Duration, Effect, Exit, Layer, Redacted, Result } from "effect"
import { Resolver, Target } from "@muster/core"
import * as Etcd from "@muster/backends/Etcd"

const read = (env: Record<string, string>) =>
  Effect.provideService(Etcd.config, ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))

const defined = (value: object): unknown => JSON.parse(JSON.stringify(value))

describe("configuring etcd", () => {
  it.effect("takes the hosts alone, or everything, from the environment", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(defined(yield* read({ ETCD_HOSTS: "a:2379,b:2379" })), { hosts: ["a:2379", "b:2379"] })
      const options = yield* read({
        ETCD_HOSTS: "a:2379",
        ETCD_LAYOUT: "go-zero",
        ETCD_PREFIX: "dev",
        ETCD_KEY: "orders.rpc",
        ETCD_ID: "7",
        ETCD_TTL: "15 seconds",
        ETCD_USER: "orders",
        ETCD_PASSWORD: "secret",
        ETCD_CA_FILE: "ca.pem",
        ETCD_CERT_FILE: "cert.pem",
        ETCD_KEY_FILE: "key.pem",
        ETCD_SERVER_NAME: "etcd.internal",
        ETCD_SKIP_VERIFY: "false"
      })
      const { login, ttl, ...others } = options
      assert.deepStrictEqual(others, {
        hosts: ["a:2379"],
        layout: "go-zero",
        prefix: "dev",
        key: "orders.rpc",
        id: 7,
        tls: { ca: "ca.pem", cert: "cert.pem", key: "key.pem", serverName: "etcd.internal", skipVerify: false }
      })
      assert.strictEqual(login?.user, "orders")
      assert.strictEqual(login && Redacted.value(login.password), "secret")
      assert.strictEqual(ttl && Duration.toSeconds(ttl), 15)
    })
  )

  it.effect("refuses an environment without hosts, and a layout that there is not", () =>
    Effect.gen(function* () {
      for (const env of [{}, { ETCD_HOSTS: "a:2379", ETCD_LAYOUT: "zookeeper" }]) {
        assert.isTrue(Exit.isFailure(yield* Effect.exit(read(env))))
      }
    })
  )

  it.effect(
    "takes members with spaces around them and with a scheme, and says what is wrong with one that is none",
    () =>
      Effect.gen(function* () {
        const { hosts } = yield* read({ ETCD_HOSTS: "a:2379, https://b:2379 ,[::1]:2379" })
        assert.deepStrictEqual(hosts, ["a:2379", "https://b:2379", "[::1]:2379"])
        for (const wrong of ["a", "a:0", "a:65536", "a:2379,b", "http://", "a:1?prefix=x", "a b:1", ","]) {
          const error = yield* Effect.flip(read({ ETCD_HOSTS: wrong }))
          assert.match(error.message, /host and a port, as in etcd-1:2379[^]*HOSTS/, wrong)
        }
      })
  )

  it.effect("builds a layer from configuration, and names it as a target", () =>
    Effect.gen(function* () {
      const built = yield* Layer.build(Etcd.layerConfig()).pipe(
        Effect.provideService(
          ConfigProvider.ConfigProvider,
          ConfigProvider.fromEnv({ env: { ETCD_HOSTS: "127.0.0.1:1", ETCD_LAYOUT: "grpc" } })
        )
      )
      assert.strictEqual(Context.get(built, Resolver.Resolver).registry, "etcd://127.0.0.1:1")
      for (const [options, name] of [
        [{}, "etcd://h:1,h:2?prefix=muster"],
        [{ prefix: "dev" }, "etcd://h:1,h:2?prefix=dev"],
        [{ layout: "go-zero", key: "orders.rpc" }, "etcd://h:1,h:2/orders.rpc"]
      ] as const) {
        const context = yield* Layer.build(Etcd.layer({ hosts: ["h:1", "h:2"], ...options }))
        assert.strictEqual(Context.get(context, Resolver.Resolver).registry, name)
        assert.isTrue(Result.isSuccess(Target.parse(name)), name)
      }
    })
  )

  it.effect("takes go-zero's block for what it means", () =>
    Effect.gen(function* () {
      const configured = yield* Effect.fromResult(
        Target.fromConfig({
          Etcd: {
            Hosts: ["10.0.0.1:2379", "10.0.0.2:2379"],
            Key: "dev/orders.rpc",
            ID: 7,
            User: "orders",
            Pass: "secret",
            CertFile: "cert.pem",
            CertKeyFile: "key.pem",
            CACertFile: "ca.pem",
            InsecureSkipVerify: true
          }
        })
      )
      const { login, ...others } = Etcd.fromGoZero(configured) ?? assert.fail("no etcd")
      assert.deepStrictEqual(others, {
        hosts: ["10.0.0.1:2379", "10.0.0.2:2379"],
        layout: "go-zero",
        key: "dev/orders.rpc",
        id: 7,
        tls: { ca: "ca.pem", cert: "cert.pem", key: "key.pem", skipVerify: true }
      })
      assert.strictEqual(login?.user, "orders")
      assert.strictEqual(login && Redacted.value(login.password), "secret")
      const plain = yield* Effect.fromResult(Target.fromConfig({ Etcd: { Hosts: ["h:1"], Key: "k" } }))
      assert.deepStrictEqual(defined(Etcd.fromGoZero(plain) ?? {}), { hosts: ["h:1"], layout: "go-zero", key: "k" })
      const direct = yield* Effect.fromResult(Target.fromConfig({ Endpoints: ["h:1"] }))
      assert.isUndefined(Etcd.fromGoZero(direct))
    })
  )
})
