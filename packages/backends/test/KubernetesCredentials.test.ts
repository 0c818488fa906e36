/**
 * Who we are to an API server and how it proves who it is: tokens, certificates, programs, proxies, and all of them
 * while they change.
 */
import { randomBytes } from "node:crypto"
import { mkdirSync, readFileSync } from "node:fs"
import { createServer as createHttpServer } from "node:http"
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"
import { inspect } from "node:util"
import { Context, Duration, Effect, Layer, Result, Schedule, flow } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { Policy, Resolver, Target } from "@muster/core"
import * as FromTarget from "@muster/backends/FromTarget"
import * as Kubernetes from "@muster/backends/Kubernetes"
import * as Connection from "../src/internal/kubernetes/connection.ts"
import * as Credentials from "../src/internal/kubernetes/credentials.ts"
import * as SharedResolver from "../src/internal/kubernetes/resolver.ts"
import { makeAuthority } from "./fixtures/certificates.ts"
import { pod, slice } from "./fixtures/endpointSlices.ts"
import { follow } from "./fixtures/Follower.ts"
import * as Kubeconfig from "./fixtures/kubeconfig.ts"
import * as KubernetesServer from "./fixtures/KubernetesServer.ts"

/** Looks at once, and lists only where it has to: a listing that falls into the end of a watch would hide it. */
const impatient = flow(
  Effect.provideService(Policy.Rewatch, Schedule.spaced("20 millis")),
  Effect.updateService(Policy.SharedWatch, (policy) => ({ ...policy, relist: Duration.hours(1) }))
)

/** An API server with one pod of `orders`. */
const start = Effect.gen(function* () {
  const server = yield* KubernetesServer.make
  server.api.write("shop", slice("orders-1", [pod("a", "10.0.0.1")]))
  return server
})

const orders = Effect.fnUntraced(function* (kubeconfig: string) {
  return yield* Effect.provide(follow("orders"), yield* Layer.build(Kubernetes.layer({ kubeconfig })))
})

/** Follows `orders` with this kubeconfig, and sees its pod. */
const seeing = Effect.fnUntraced(function* (kubeconfig: string) {
  const one = yield* orders(kubeconfig)
  yield* one.until(({ snapshot }) => snapshot.version > 0)
  return one
})

/** Why `orders` cannot be followed with this kubeconfig. */
const failing = Effect.fnUntraced(function* (kubeconfig: string) {
  const { errors } = yield* (yield* orders(kubeconfig)).until((state) => state.errors.length > 0)
  return errors[0] ?? assert.fail()
})

/** Another token for the same user; all earlier ones are refused from now on. */
const rotate = ({ api }: KubernetesServer.KubernetesServer) => {
  const token = randomBytes(8).toString("hex")
  api.tokens.clear()
  api.tokens.set(token, "client")
  return token
}

/** Environment variables for as long as the scope lives. */
const environment = (variables: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = { ...process.env }
      Object.assign(process.env, variables)
      return before
    }),
    (before) =>
      Effect.sync(() => {
        for (const name of Object.keys(variables)) delete process.env[name]
        Object.assign(process.env, before)
      })
  )

/** A server on a free port for as long as the scope lives. */
const listening = (server: Server) =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as AddressInfo).port)))
    }),
    () => Effect.sync(() => server.close())
  )

const join = (client: Socket, server: Socket) => {
  client.pipe(server).pipe(client)
  client.on("error", () => server.destroy()).on("close", () => server.destroy())
  server.on("error", () => client.destroy())
}

const day = 24 * 60 * 60 * 1000
const base64 = (text: string) => Buffer.from(text).toString("base64")

describe("Kubernetes, credentials", () => {
  it.live("F-k8s-g: in a pod, a token that was rotated on disk is used for the very next request", () =>
    Effect.gen(function* () {
      const server = yield* start
      const { file, path } = yield* Kubeconfig.folder
      const mount = "var/run/secrets/kubernetes.io/serviceaccount"
      mkdirSync(`${path}/${mount}`, { recursive: true })
      file(`${mount}/ca.crt`, server.authority.cert)
      file(`${mount}/namespace`, "shop\n")
      file(`${mount}/token`, rotate(server))
      yield* environment({ KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: new URL(server.url).port })
      const credentials = yield* Credentials.make({ root: path })
      assert.strictEqual(credentials.namespace, "shop")
      const resolver = yield* SharedResolver.make(yield* Connection.make(credentials), { namespace: "shop", ports: {} })
      const one = yield* Effect.provide(follow("orders"), Context.make(Resolver.Resolver, resolver))
      yield* one.until(({ isLive }) => isLive)
      for (let n = 1; n <= 5; n++) {
        file(`${mount}/token`, `${rotate(server)}\n`)
        yield* server.endWatch
        yield* one.until(({ changes }) => changes.filter(({ _tag }) => _tag === "Resumed").length === n)
      }
      assert.isTrue(server.api.asked.every(({ user }) => user === "client"))
    }).pipe(impatient)
  )

  it.live("F-k8s-g: a kubeconfig that was written anew is used for the very next request", () =>
    Effect.gen(function* () {
      const server = yield* start
      const { file } = yield* Kubeconfig.folder
      const write = (user: KubernetesServer.User) => file("config", readFileSync(server.kubeconfig(user), "utf8"))
      const one = yield* seeing(write({ token: rotate(server) }))
      write({ token: rotate(server) })
      yield* server.endWatch
      yield* one.until(({ changes }) => changes.at(-1)?._tag === "Resumed")
      const { cert, key } = server.authority.issue({ commonName: "somebody" })
      write({ "client-certificate-data": base64(cert), "client-key-data": base64(key) })
      server.api.asked.length = 0
      yield* server.endWatch
      yield* one.until(({ changes }) => changes.filter(({ _tag }) => _tag === "Resumed").length === 2)
      assert.deepStrictEqual(
        server.api.asked.map(({ user }) => user).filter((user) => user !== "somebody"),
        []
      )
    }).pipe(impatient)
  )

  it.live("runs a credential program once, and again when what it gave is refused", () =>
    Effect.gen(function* () {
      const server = yield* start
      const { file, path } = yield* Kubeconfig.folder
      const program = file(
        "program.cjs",
        `const fs = require("fs")
        fs.appendFileSync("${path}/runs", "run ")
        const token = fs.readFileSync("${path}/token", "utf8")
        console.log(JSON.stringify({ apiVersion: "client.authentication.k8s.io/v1", kind: "ExecCredential", status: { token } }))`
      )
      const exec = { apiVersion: "client.authentication.k8s.io/v1", command: process.execPath, args: [program] }
      file("token", rotate(server))
      const one = yield* seeing(server.kubeconfig({ exec }))
      yield* server.endWatch
      yield* one.until(({ changes }) => changes.at(-1)?._tag === "Resumed")
      assert.strictEqual(readFileSync(`${path}/runs`, "utf8"), "run ")
      file("token", rotate(server))
      yield* server.endWatch
      yield* one.until(({ changes }) => changes.filter(({ _tag }) => _tag === "Resumed").length === 2)
      assert.strictEqual(readFileSync(`${path}/runs`, "utf8"), "run run ")
      assert.isTrue(one.current().errors.every(({ reason }) => reason._tag === "Unavailable"))
    }).pipe(impatient)
  )

  it.live("F-k8s-g: with a credential program too, follows a kubeconfig that was written anew to another server", () =>
    Effect.gen(function* () {
      const [first, second] = [yield* start, yield* start]
      const { file } = yield* Kubeconfig.folder
      second.api.tokens.clear()
      const token = rotate(second)
      first.api.tokens.set(token, "client")
      const status = JSON.stringify({ status: { token } })
      const exec = { command: process.execPath, args: ["-e", `console.log(${JSON.stringify(status)})`] }
      const write = ({ kubeconfig }: KubernetesServer.KubernetesServer) =>
        file("config", readFileSync(kubeconfig({ exec }), "utf8"))
      const one = yield* seeing(write(first))
      yield* first.stop
      write(second)
      second.api.write("shop", slice("orders-2", [pod("b", "10.0.0.2")]))
      yield* one.until(() => one.addresses().some((address) => address.startsWith("10.0.0.2:")))
    }).pipe(impatient)
  )

  it.live("waits for a credential program that takes longer than the deadline instead of starting another one", () =>
    Effect.gen(function* () {
      const server = yield* start
      const { file, path } = yield* Kubeconfig.folder
      const token = rotate(server)
      const program = file(
        "program.cjs",
        `const fs = require("fs")
        fs.appendFileSync("${path}/runs", "run ")
        setInterval(() => {
          if (!fs.existsSync("${path}")) process.exit(1)
          if (!fs.existsSync("${path}/go")) return
          console.log(JSON.stringify({ status: { token: "${token}" } }))
          process.exit(0)
        }, 10)`
      )
      const one = yield* orders(server.kubeconfig({ exec: { command: process.execPath, args: [program] } }))
      const { errors } = yield* one.until((state) => state.errors.length >= 3)
      assert.deepStrictEqual([...new Set(errors.map(({ reason }) => reason._tag))], ["TimedOut"])
      file("go", "")
      yield* one.until(({ isLive }) => isLive)
      assert.strictEqual(readFileSync(`${path}/runs`, "utf8"), "run ")
    }).pipe(impatient, Effect.provideService(Policy.OpenDeadline, Duration.millis(200)))
  )

  it.live("fails typed where a credential program fails, is missing, or takes too long", () =>
    Effect.gen(function* () {
      const { kubeconfig } = yield* start
      const exec = (command: string, ...args: ReadonlyArray<string>) => failing(kubeconfig({ exec: { command, args } }))
      const failed = yield* exec(process.execPath, "-e", "console.error('no such account'); process.exit(1)")
      assert.strictEqual(failed.reason._tag, "Unauthenticated")
      assert.include(failed.message, "no such account")
      assert.strictEqual((yield* exec("/no/such/program")).reason._tag, "Unauthenticated")
      const slow = yield* exec(process.execPath, "-e", "setTimeout(() => undefined, 2000)").pipe(
        Effect.provideService(Policy.OpenDeadline, Duration.millis(700))
      )
      assert.strictEqual(slow.reason._tag, "TimedOut")
    })
  )

  it.live("tells no secret of a kubeconfig that is no YAML, nor of a program that prints something else", () =>
    Effect.gen(function* () {
      const server = yield* start
      const { file } = yield* Kubeconfig.folder
      const broken = [
        ["token: top-secret", "name: a: b"].join("\n"),
        "password: *top-secret",
        "password: !top-secret x"
      ]
      for (const text of broken) {
        const error = yield* Effect.flip(Layer.build(Kubernetes.layer({ kubeconfig: file("config", text) })))
        assert.notInclude(inspect(error, { depth: 9 }), "top-secret")
        assert.include(error.message, text.includes("\n") ? "at 2:" : "at 1:")
      }
      const kubeconfig = file("config", readFileSync(server.kubeconfig(), "utf8"))
      const context = yield* Layer.build(Kubernetes.layer({ kubeconfig }))
      file("config", broken.join("\n"))
      const one = yield* Effect.provide(follow("orders"), context)
      const { errors } = yield* one.until((state) => state.errors.length > 0)
      assert.strictEqual(errors[0]?.reason._tag, "Unreadable")
      assert.notInclude(inspect(errors, { depth: 9 }), "top-secret")
      const key = { status: { clientKeyData: { text: "top-secret" } } }
      for (const [printed, reason] of [
        ["top-secret", "Unauthenticated"],
        ['{ "status": "top-secret', "Unauthenticated"],
        [JSON.stringify(key), "Unreadable"]
      ] as const) {
        const args = ["-e", `console.log(${JSON.stringify(printed)})`]
        const error = yield* failing(server.kubeconfig({ exec: { command: process.execPath, args } }))
        assert.strictEqual(error.reason._tag, reason)
        assert.notInclude(inspect(error, { depth: 9 }), "top-secret")
      }
    }).pipe(impatient)
  )

  it.live("shows a client certificate, and another one as soon as its files are replaced", () =>
    Effect.gen(function* () {
      const { api, authority, endWatch, kubeconfig } = yield* start
      const { file, path } = yield* Kubeconfig.folder
      const replace = (commonName: string) => {
        const { cert, key } = authority.issue({ commonName })
        file("client.crt", cert)
        file("client.key", key)
      }
      replace("first")
      const files = { "client-certificate": `${path}/client.crt`, "client-key": `${path}/client.key` }
      const one = yield* seeing(kubeconfig(files))
      assert.deepStrictEqual([...new Set(api.asked.splice(0).map(({ user }) => user))], ["first"])
      replace("second")
      yield* endWatch
      yield* one.until(({ changes }) => changes.at(-1)?._tag === "Resumed")
      assert.deepStrictEqual([...new Set(api.asked.splice(0).map(({ user }) => user))], ["second"])
    }).pipe(impatient)
  )

  it.live("F-k8s-g: says that its own certificate expired, and sends it nowhere", () =>
    Effect.gen(function* () {
      const { api, authority, kubeconfig } = yield* start
      const { file, path } = yield* Kubeconfig.folder
      const issue = (validity: readonly [number, number]) => {
        const { cert, key } = authority.issue({ commonName: "client", validity })
        file("client.crt", cert)
        file("client.key", key)
      }
      issue([-day, day])
      const user = { "client-certificate": `${path}/client.crt`, "client-key": `${path}/client.key` }
      const context = yield* Layer.build(Kubernetes.layer({ kubeconfig: kubeconfig(user) }))
      issue([-day, -1000])
      const one = yield* Effect.provide(follow("orders"), context)
      const { errors } = yield* one.until((state) => state.errors.length > 0)
      assert.deepStrictEqual([errors[0]?.reason._tag, errors[0]?.isTransient], ["Unauthenticated", false])
      assert.include(errors[0]?.message, "our certificate expired on")
      assert.strictEqual(api.asked.length, 0)
      issue([-day, day])
      yield* one.until(({ isLive }) => isLive)
    }).pipe(impatient)
  )

  it.live("says why it does not trust the API server, sends it nothing, and goes on once that is repaired", () =>
    Effect.gen(function* () {
      const { api, authority, kubeconfig, present } = yield* start
      const hosts = ["127.0.0.1"]
      const untrusted = [
        [authority.issue({ commonName: "kubernetes", hosts, validity: [-day, -1000] }), "expired"],
        [authority.issue({ commonName: "kubernetes", hosts: ["10.0.0.1"] }), "altnames"],
        [makeAuthority("stranger").issue({ commonName: "kubernetes", hosts }), "certificate"]
      ] as const
      for (const [certificate, word] of untrusted) {
        present(certificate)
        const { isTransient, reason } = yield* failing(kubeconfig())
        assert.deepStrictEqual([reason._tag, isTransient], ["Untrusted", false])
        assert.include(reason.message, word)
      }
      assert.strictEqual(api.asked.length, 0)
      const one = yield* orders(kubeconfig())
      yield* one.until(({ errors }) => errors.length > 0)
      present(authority.issue({ commonName: "kubernetes", hosts }))
      yield* one.until(({ isLive }) => isLive)
    })
  )

  it.live("reaches an API server through the proxy of its kubeconfig: HTTP and SOCKS", () =>
    Effect.gen(function* () {
      const { kubeconfig, url } = yield* start
      const upstream = () => connect(Number(new URL(url).port), "127.0.0.1")
      let tunnels = 0
      const http = createHttpServer().on("connect", (_, client: Socket) => {
        tunnels++
        client.write("HTTP/1.1 200 OK\r\n\r\n")
        join(client, upstream())
      })
      const socks = createServer((client) => {
        tunnels++
        client.once("data", () => {
          client.write(Buffer.from([5, 0]))
          client.once("data", () => {
            client.write(Buffer.from([5, 0, 0, 1, 127, 0, 0, 1, 0, 80]))
            join(client, upstream())
          })
        })
      })
      for (const proxy of [
        `http://127.0.0.1:${yield* listening(http)}`,
        `socks5://127.0.0.1:${yield* listening(socks)}`
      ]) {
        const before = tunnels
        yield* Effect.scoped(seeing(kubeconfig(undefined, { "proxy-url": proxy })))
        assert.isAbove(tunnels, before)
      }
    })
  )

  it.live("refuses a proxy that it does not speak to, without telling its password", () =>
    Effect.gen(function* () {
      const { kubeconfig } = yield* start
      for (const scheme of ["socks4", "socks5h", "ftp"]) {
        const error = yield* failing(kubeconfig(undefined, { "proxy-url": `${scheme}://user:secret@127.0.0.1:1` }))
        assert.strictEqual(error.reason._tag, "Unreadable", error.message)
        assert.include(error.message, "the proxy-url of the kubeconfig")
        assert.notInclude(inspect(error, { depth: 9 }), "secret")
      }
    })
  )

  it.live("is what a k8s: target names, with the kubeconfig of the environment", () =>
    Effect.gen(function* () {
      const { api, kubeconfig } = yield* start
      yield* environment({ KUBECONFIG: kubeconfig() })
      const ports = [
        { name: "http", port: 80 },
        { name: "admin", port: 81 }
      ]
      api.write("shop", slice("bills-1", [pod("b", "10.0.0.2")], { service: "bills", ports }))
      api.write("default", slice("bills-1", [pod("c", "10.0.0.3")], { service: "bills", ports }))
      for (const [text, address] of [
        ["k8s://shop/bills", "10.0.0.2:80"],
        ["k8s://shop/bills:admin", "10.0.0.2:81"],
        ["k8s:///bills:81", "10.0.0.3:81"]
      ] as const) {
        const target = Result.getOrThrow(Target.parse(text))
        const one = yield* Effect.provide(follow("bills"), yield* Layer.build(FromTarget.resolver(target)))
        yield* one.until(({ isLive }) => isLive)
        assert.deepStrictEqual(one.addresses(), [address])
      }
    })
  )

  it.live("fails at once, and says what to do, where there are no credentials", () =>
    Effect.gen(function* () {
      const { kubeconfig } = yield* start
      const { file, path } = yield* Kubeconfig.folder
      yield* environment({ HOME: path, KUBECONFIG: "" })
      const cases: ReadonlyArray<readonly [Kubernetes.Options, string]> = [
        [{}, "there is no kubeconfig, and this is no pod"],
        [{ kubeconfig: `${path}/missing` }, `${path}/missing cannot be read`],
        [{ kubeconfig: file("bad", "{ not: [yaml") }, "cannot be read"],
        [{ kubeconfig: file("empty", "{}") }, "has no context"],
        [{ kubeconfig: kubeconfig(), context: "other" }, "has no context other"],
        [{ kubeconfig: kubeconfig(), namespace: "Not A Name" }, "the namespace is no name of Kubernetes"]
      ]
      for (const [options, message] of cases) {
        const error = yield* Effect.flip(Layer.build(Kubernetes.layer(options)))
        assert.include(error.message, message)
        assert.isFalse(error.isTransient)
      }
      const plain = yield* failing(kubeconfig(undefined, { server: "http://127.0.0.1:1" }))
      assert.include(plain.message, "HTTP protocol is not allowed")
    })
  )
})
