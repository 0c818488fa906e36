import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Queue, Redacted } from "effect"
import type { Etcd3, IOptions } from "etcd3"
import { copyFileSync, mkdtempSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Policy, Registry, Target } from "@muster/core"
import * as FromTarget from "@muster/backends/FromTarget"
import { connect, put, why, word } from "./fixtures/etcdClient.ts"
import * as EtcdServer from "./fixtures/EtcdServer.ts"
import * as TcpProxy from "./fixtures/TcpProxy.ts"
import { changed, instance, reset } from "./RegistryContract.ts"

const login = (user: string, password: string) => ({ login: { user, password: Redacted.make(password) } })
const role = {
  key: Buffer.from("muster/"),
  range_end: Buffer.from("muster0"),
  permType: "Readwrite" as const
}

/** A server that asks for a user: root, and `orders`, who may read and write below the prefix. */
const guarded = Effect.fnUntraced(function* (flags: ReadonlyArray<string> = []) {
  const server = yield* EtcdServer.make({ flags: ["--bcrypt-cost=4", ...flags] })
  const proxy = yield* TcpProxy.make(server.port)
  const open = yield* EtcdServer.operator([server.address])
  yield* Effect.promise(async () => {
    await open.auth.userAdd({ name: "root", password: "root" })
    await open.auth.userGrantRole({ user: "root", role: "root" })
    await open.auth.userAdd({ name: "orders", password: "secret" })
    await open.auth.roleAdd({ name: "orders" })
    await open.auth.roleGrantPermission({ name: "orders", perm: role })
    await open.auth.userGrantRole({ user: "orders", role: "orders" })
    await open.auth.authEnable()
  })
  const root = yield* EtcdServer.operator([server.address], { auth: { username: "root", password: "root" } })
  return { server, proxy, root }
})

/** A slow machine is no fault. */
const patient = Layer.succeed(Policy.CallDeadline, Duration.seconds(10))

const grant = (root: Etcd3) => Effect.promise(() => root.auth.userGrantRole({ user: "orders", role: "orders" }))
const revoke = (root: Etcd3) => Effect.promise(() => root.auth.userRevokeRole({ name: "orders", role: "orders" }))
const begin = (client: Effect.Success<ReturnType<typeof connect>>) =>
  Effect.scoped(Effect.flatMap(client.follow(), Queue.take))

describe.skipIf(EtcdServer.isMissing)("an etcd that asks who we are", () => {
  it.live("F-etcd-g: lets the right user in, for calls, watches and renewals", () =>
    Effect.gen(function* () {
      const { proxy, root } = yield* guarded()
      const client = yield* connect([proxy.address], login("orders", "secret"))
      const queue = yield* client.follow()
      yield* reset(queue)
      const lease = yield* client.registry.register(instance(1), Duration.seconds(20))
      yield* client.registry.renew(lease)
      assert.strictEqual(word(yield* changed(queue)), "+i-1")
      yield* put(root, 2)
      assert.strictEqual(word(yield* changed(queue)), "+i-2")
      assert.strictEqual(proxy.connections().ever, 1)
    })
  )

  it.live("F-etcd-g: tells a wrong password once for each attempt, and needs no restart once it is right", () =>
    Effect.gen(function* () {
      const { proxy, root } = yield* guarded()
      const client = yield* connect([proxy.address], login("orders", "later"))
      for (let n = 1; n <= 3; n++) {
        const error = yield* Effect.flip(client.register(1))
        assert.strictEqual(error.reason._tag, "Unauthenticated")
        assert.include(error.message, "wrong user or password")
        assert.strictEqual(proxy.connections().ever, n)
      }
      assert.strictEqual(yield* why(begin(client)), "Unauthenticated")
      assert.strictEqual(proxy.connections().ever, 4)
      yield* Effect.promise(() => root.auth.userChangePassword({ name: "orders", password: "later" }))
      yield* client.register(1)
      assert.strictEqual((yield* begin(client))._tag, "Reset")
    })
  )

  it.live("registers as the user and under the id that a go-zero configuration says", () =>
    Effect.gen(function* () {
      const { root, server } = yield* guarded()
      const Etcd = { Hosts: [server.address], Key: "muster/orders.rpc", ID: 7, User: "orders", Pass: "secret" }
      const configured = yield* Effect.fromResult(Target.fromConfig({ Etcd }))
      const { target } = configured
      if (!Target.isWritable(target)) return assert.fail(target._tag)
      const register = Effect.flatMap(Registry.Registry, (it) => it.register(instance(1), Duration.seconds(20)))
      yield* Effect.gen(function* () {
        yield* register
        const { kvs } = yield* Effect.promise(() => root.getAll().prefix("muster/").exec())
        assert.deepStrictEqual(
          kvs.map(({ key }) => key.toString()),
          ["muster/orders.rpc/7"]
        )
      }).pipe(Effect.provide(FromTarget.registry(target, FromTarget.accessOf(configured)).pipe(Layer.provide(patient))))
      const anonymous = FromTarget.registry(target).pipe(Layer.provide(patient))
      assert.strictEqual(yield* why(Effect.provide(register, anonymous)), "Unauthenticated")
    })
  )

  it.live("F-etcd-g: tells that it is asked for a user when it has none", () =>
    Effect.gen(function* () {
      const { proxy } = yield* guarded()
      const client = yield* connect([proxy.address])
      assert.strictEqual(yield* why(client.register(1)), "Unauthenticated")
      assert.strictEqual(yield* why(begin(client)), "Unauthenticated")
    })
  )

  it.live("F-etcd-g: gets a new token when the old one has expired, for calls, watches and renewals", () =>
    Effect.gen(function* () {
      const { proxy, root, server } = yield* guarded(["--auth-token-ttl=1"])
      const client = yield* connect([proxy.address], login("orders", "secret"))
      const queue = yield* client.follow()
      const { cursor } = yield* reset(queue)
      for (let n = 0; n < 2; n++) {
        yield* Effect.sleep("2500 millis")
        const lease = yield* client.registry.register(instance(n), Duration.seconds(20))
        assert.strictEqual(word(yield* changed(queue)), `+i-${n}`)
        yield* client.registry.renew(lease)
      }
      yield* Effect.sleep("2500 millis")
      // The stream that all watches share was opened with a token that is not valid any more.
      assert.strictEqual(word(yield* Effect.flatMap(client.follow(cursor), Queue.take)), "Resumed")
      assert.strictEqual(word(yield* Effect.flatMap(client.follow(), Queue.take)), "Reset")
      // Whoever watches on that stream goes on, and hears of its end.
      yield* put(root, 9)
      assert.strictEqual(word(yield* changed(queue)), "+i-9")
      yield* server.kill
      assert.strictEqual(yield* why(Queue.take(queue)), "Unavailable")
      yield* server.start
      yield* client.register(5)
    })
  )

  it.live("F-etcd-g: a revoked role is told as such, the running watch goes on, and a new grant is enough", () =>
    Effect.gen(function* () {
      const { proxy, root } = yield* guarded()
      const client = yield* connect([proxy.address], login("orders", "secret"))
      const lease = yield* client.registry.register(instance(1), Duration.seconds(20))
      const queue = yield* client.follow()
      yield* reset(queue)
      yield* revoke(root)
      assert.strictEqual(yield* why(client.registry.update(lease, instance(1, { weight: 2 }))), "PermissionDenied")
      assert.strictEqual(yield* why(begin(client)), "PermissionDenied")
      // A healthy lease is not given up because its entry cannot be verified.
      yield* client.registry.renew(lease)
      yield* put(root, 2)
      assert.strictEqual(word(yield* changed(queue)), "+i-2")
      yield* grant(root)
      yield* client.registry.update(lease, instance(1, { weight: 2 }))
      assert.strictEqual(word(yield* changed(queue)), "+i-1")
      assert.strictEqual((yield* begin(client))._tag, "Reset")
      assert.strictEqual(proxy.connections().ever, 1)
    })
  )

  it.live(
    "F-etcd-g: a server needs to write below the folder of its service, a client to read it, and nothing else",
    () =>
      Effect.gen(function* () {
        const { root, server } = yield* guarded()
        const folder = { key: Buffer.from("muster/orders/"), range_end: Buffer.from("muster/orders0") }
        yield* Effect.promise(async () => {
          for (const [name, permType] of [
            ["server", "Readwrite"],
            ["caller", "Read"]
          ] as const) {
            await root.auth.userAdd({ name, password: name })
            await root.auth.roleAdd({ name })
            await root.auth.roleGrantPermission({ name, perm: { ...folder, permType } })
            await root.auth.userGrantRole({ user: name, role: name })
          }
        })
        const { registry } = yield* connect([server.address], login("server", "server"))
        const caller = yield* connect([server.address], login("caller", "caller"))
        const queue = yield* caller.follow()
        yield* reset(queue)
        const lease = yield* registry.register(instance(1), Duration.seconds(20))
        assert.strictEqual(word(yield* changed(queue)), "+i-1")
        yield* registry.renew(lease)
        yield* registry.update(lease, instance(1).asDraining())
        assert.strictEqual(word(yield* changed(queue)), "+i-1")
        yield* registry.revoke(lease)
        assert.strictEqual(word(yield* changed(queue)), "-i-1")
        assert.strictEqual(yield* why(caller.register(2)), "PermissionDenied")
      })
  )
})

const file = (name: string) => join(import.meta.dirname, "fixtures/tls", name)
const serverFlags = (name: string) => [`--cert-file=${file(`${name}.pem`)}`, `--key-file=${file(`${name}.key`)}`]
const ours = { ca: file("authority.pem"), cert: file("client.pem"), key: file("client.key") }
const trusting: Partial<IOptions> = { credentials: { rootCertificate: readFileSync(file("authority.pem")) } }

describe.skipIf(EtcdServer.isMissing)("an etcd over TLS", () => {
  it.live("works with a trusted authority", () =>
    Effect.gen(function* () {
      const server = yield* EtcdServer.make({ tls: serverFlags("server") })
      const operator = yield* EtcdServer.operator([server.address], trusting)
      const client = yield* connect([server.address], { tls: { ca: ours.ca } })
      const queue = yield* client.follow()
      yield* reset(queue)
      yield* client.registry.renew(yield* client.registry.register(instance(1), Duration.seconds(20)))
      assert.strictEqual(word(yield* changed(queue)), "+i-1")
      yield* put(operator, 2)
      assert.strictEqual(word(yield* changed(queue)), "+i-2")
    })
  )

  it.live("F-etcd-g: tells an authority that it does not trust once for each attempt, and reads its file anew", () =>
    Effect.gen(function* () {
      const server = yield* EtcdServer.make({ tls: serverFlags("server") })
      const proxy = yield* TcpProxy.make(server.port)
      const ca = join(mkdtempSync(join(tmpdir(), "muster-tls-")), "ca.pem")
      copyFileSync(file("stranger.pem"), ca)
      const client = yield* connect([proxy.address], { tls: { ca } })
      for (let n = 1; n <= 3; n++) {
        const error = yield* Effect.flip(client.register(1))
        assert.strictEqual(error.reason._tag, "Untrusted", error.message)
        assert.isAtMost(proxy.connections().ever, n)
      }
      assert.strictEqual(yield* why(begin(client)), "Untrusted")
      copyFileSync(file("authority.pem"), ca)
      yield* client.register(1)
      assert.strictEqual((yield* begin(client))._tag, "Reset")
    })
  )

  it.live("F-etcd-g: tells a certificate of another name, unless that name is expected or none is", () =>
    Effect.gen(function* () {
      const server = yield* EtcdServer.make({ tls: serverFlags("named") })
      const refused = yield* connect([server.address], { tls: { ca: ours.ca } })
      assert.strictEqual(yield* why(refused.register(1)), "Untrusted")
      for (const tls of [{ ca: ours.ca, serverName: "etcd.internal" }, { skipVerify: true }]) {
        const client = yield* connect([server.address], { tls })
        yield* client.register(1)
      }
    })
  )

  it.live("F-etcd-g: lets a client certificate in and tells one without it, and a missing file, apart", () =>
    Effect.gen(function* () {
      const flags = [...serverFlags("server"), `--trusted-ca-file=${ours.ca}`, "--client-cert-auth"]
      const server = yield* EtcdServer.make({ tls: flags })
      const client = yield* connect([server.address], { tls: ours })
      yield* client.register(1)
      assert.strictEqual((yield* begin(client))._tag, "Reset")
      const anonymous = yield* connect([server.address], { tls: { ca: ours.ca } })
      assert.strictEqual(yield* why(anonymous.register(1)), "Unauthenticated")
      const forgetful = yield* connect([server.address], { tls: { ca: "/nowhere/ca.pem" } })
      const error = yield* Effect.flip(forgetful.register(1))
      assert.include(error.message, "/nowhere/ca.pem")
      assert.isFalse(error.isTransient)
    })
  )
})
