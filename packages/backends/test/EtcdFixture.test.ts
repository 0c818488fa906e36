import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as EtcdServer from "./fixtures/EtcdServer.ts"
import * as TcpProxy from "./fixtures/TcpProxy.ts"

describe.skipIf(EtcdServer.isMissing)("the etcd that tests own", () => {
  it.live("keeps its data over a kill, and loses it when wiped", () =>
    Effect.gen(function* () {
      const server = yield* EtcdServer.make()
      const proxy = yield* TcpProxy.make(server.port)
      const client = yield* EtcdServer.operator([proxy.address])
      const get = Effect.promise(() => client.get("k").string())
      yield* Effect.promise(() => client.put("k").value("v"))
      yield* server.kill
      yield* server.start
      assert.strictEqual(yield* get, "v")
      yield* server.wipe
      yield* server.start
      assert.isNull(yield* get)
    })
  )

  it.live("forms a cluster of three", () =>
    Effect.gen(function* () {
      const servers = yield* EtcdServer.cluster(3)
      const client = yield* EtcdServer.operator(servers.map(({ address }) => address))
      assert.strictEqual((yield* Effect.promise(() => client.cluster.memberList({}))).members.length, 3)
    })
  )
})
