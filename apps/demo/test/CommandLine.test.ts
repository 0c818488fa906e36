// What the command line says to somebody who has not read the manual, or got something wrong.
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Path } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { createServer as createHttpServer } from "node:http"
import { createServer, type Server } from "node:net"
import { run } from "./fixtures/program.ts"

/** One line on standard error that begins with our name, nothing else, and exit code 1. */
const complains = (args: ReadonlyArray<string>, about: RegExp, env: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const { code, stdout, stderr } = yield* run(args, env)
    assert.match(stderr, /^muster: [^\n]+\n$/)
    assert.match(stderr, about)
    assert.strictEqual(stdout, "")
    assert.strictEqual(code, 1)
  })

const portOf = (server: Server) => {
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

/** A server that has nothing to do with any registry; gives its port. */
const somethingElse = Effect.acquireRelease(
  Effect.callback<Server>((resume) => {
    const server = createHttpServer((_, response) => response.writeHead(404).end("<html>not here</html>"))
    server.listen({ host: "127.0.0.1", port: 0 }, () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => server.close())
).pipe(Effect.map(portOf))

const takenPort = Effect.acquireRelease(
  Effect.callback<ReturnType<typeof createServer>>((resume) => {
    const server = createServer().listen({ host: "127.0.0.1", port: 0 }, () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
).pipe(Effect.map(portOf))

describe("the command line", () => {
  it.live.each([
    { args: ["--help"], says: [/no request may fail/, /--json/, /--break/, /etcd:\/\//, /server/, /client/] },
    { args: ["server", "--help"], says: [/--registry/, /--host/, /--zone/, /local:\.\/orders\.db/] },
    { args: ["fake", "--help"], says: [/k8s/, /--port/, /fake consul/] },
    { args: ["client", "--help"], says: [/--registry/, /--rate/, /direct:\/\/\/127\.0\.0\.1:4001/] }
  ])("explains itself: $args", ({ args, says }) =>
    Effect.gen(function* () {
      const { code, stdout } = yield* run(args)
      for (const pattern of says) assert.match(stdout, pattern)
      assert.strictEqual(code, 0)
    })
  )

  it.live("says where a target is wrong", () =>
    complains(["server", "--registry", "lokal:./x.db"], /"lokal:.*character 1/)
  )

  it.live("refuses to register where nobody can", () =>
    complains(["server", "--registry", "direct:///127.0.0.1:4001"], /that can be written/)
  )

  for (const registry of ["none", "memory:"]) {
    it.live.each([
      { args: ["--service", "Bad Name"], says: /Bad Name cannot be registered: Expected a service name/ },
      { args: ["--weight", "-1"], says: /orders cannot be registered: .*"weight"/ },
      { args: ["--id", "a b"], says: /orders cannot be registered: Expected an instance id/ },
      { args: ["--zone", ""], says: /orders cannot be registered: .*"zone"/ }
    ])(`refuses what no instance can be, registry ${registry}: $args`, ({ args, says }) =>
      complains(["server", "--registry", registry, ...args], says)
    )
  }

  it.live("says that a port is taken", () =>
    Effect.scoped(
      Effect.flatMap(takenPort, (port) =>
        complains(["server", "--registry", "none", "--port", String(port)], new RegExp(`127.0.0.1:${port}.*taken`))
      )
    )
  )

  it.live("says that no server can be as high as gRPC would be", () =>
    complains(["fake", "nacos", "--port", "65000"], /127\.0\.0\.1:66000 is no port/)
  )

  it.live("says that what answers is no Consul agent", () =>
    Effect.scoped(
      Effect.flatMap(somethingElse, (port) =>
        complains(["--registry", `consul://127.0.0.1:${port}`], new RegExp(`127.0.0.1:${port}: .*no Consul agent`))
      )
    )
  )

  it.live("says that nothing can be remembered in a folder", () =>
    Effect.gen(function* () {
      const path = yield* Path.Path
      const fs = yield* FileSystem.FileSystem
      const file = path.join(yield* fs.makeTempDirectoryScoped({ prefix: "muster-test-" }), "a-file")
      yield* fs.writeFileString(file, "")
      yield* complains(["client", "--registry", "memory:", "--remember", path.join(file, "below")], /a-file.below/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("says that a registry file cannot be written", () =>
    Effect.gen(function* () {
      const path = yield* Path.Path
      const folder = yield* FileSystem.FileSystem.use((fs) => fs.makeTempDirectoryScoped({ prefix: "muster-test-" }))
      const file = path.join(folder, "a-folder.db")
      yield* FileSystem.FileSystem.use((fs) => fs.makeDirectory(file))
      yield* complains(["server", "--registry", `local:${file}`], /a-folder\.db/)
      yield* complains(["client", "--registry", `local:${file}`], /a-folder\.db/)
      yield* complains(["server", "--registry", "none", "--tally", file], /a-folder\.db/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live.each([
    { registry: "zookeeper", says: /"zookeeper".*local, etcd, k8s, consul, nacos/ },
    { registry: "etcd:///127.0.0.1:2379?key=a", says: /key=a".*etcd:\/\/127/ },
    { registry: "etcd", says: /apt-get install etcd-server/ },
    { registry: "etcd://127.0.0.1:1", says: /127\.0\.0\.1:1\?prefix=muster.*ECONNREFUSED/ },
    { registry: "consul://127.0.0.1:2", says: /consul:\/\/127\.0\.0\.1:2: connect ECONNREFUSED/ },
    { registry: "nacos://127.0.0.1:1", says: /nacos:\/\/127\.0\.0\.1:1.*ECONNREFUSED/ },
    { registry: "k8s://shop/orders", says: /kubeconfig.*nowhere/ }
  ])("says what the story needs when it cannot be told on $registry", ({ registry, says }) =>
    complains(["--registry", registry], says, { MUSTER_ETCD: "/nowhere/etcd", KUBECONFIG: "/nowhere" })
  )

  it.live("names the acts there are when one is unknown", () =>
    complains(["--acts", "steady,naps"], /"naps".*steady,kill/)
  )
})
