import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { Endpoint } from "@muster/core"
import { ConnectProbe } from "@muster/runtime"
import Dns from "node:dns"
import { createServer, type Socket } from "node:net"
import { endpoint } from "./fixtures/ScriptedResolver.ts"

/** A listener on a free port, closed with the scope. */
const listener = Effect.acquireRelease(
  Effect.callback<{ readonly port: number; readonly accepted: Deferred.Deferred<Socket>; readonly close: () => void }>(
    (resume) => {
      const accepted = Deferred.makeUnsafe<Socket>()
      const server = createServer((socket) => Deferred.doneUnsafe(accepted, Effect.succeed(socket)))
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({ port, accepted, close: () => void server.close() }))
      })
    }
  ),
  ({ close }) => Effect.sync(close)
)

type Answer = (error: null, addresses: ReadonlyArray<{ readonly address: string; readonly family: 4 }>) => void

/** While the scope is open every name has these addresses. */
const named = (addresses: ReadonlyArray<string>) => {
  const { lookup } = Dns
  const fake = (_name: string, _options: object, answer: Answer) =>
    answer(
      null,
      addresses.map((address) => ({ address, family: 4 }))
    )
  return Effect.acquireRelease(
    Effect.sync(() => Object.assign(Dns, { lookup: fake })),
    () => Effect.sync(() => Object.assign(Dns, { lookup }))
  )
}

describe("ConnectProbe", () => {
  it.live("finds a listener and hangs up at once", () =>
    Effect.gen(function* () {
      const probe = yield* ConnectProbe.ConnectProbe
      const { accepted, port } = yield* listener
      assert.strictEqual(yield* probe(endpoint("a", { port })), "accepted")
      const socket = yield* Deferred.await(accepted)
      yield* Effect.callback<void>((resume) => {
        if (socket.destroyed) return resume(Effect.void)
        socket
          .on("error", () => undefined)
          .on("close", () => resume(Effect.void))
          .resume()
      })
    })
  )

  it.live("tells a refused connection", () =>
    Effect.gen(function* () {
      const probe = yield* ConnectProbe.ConnectProbe
      const { port } = yield* Effect.scoped(listener)
      assert.strictEqual(yield* probe(endpoint("a", { port })), "refused")
    })
  )

  it.live.each([
    { what: "each of its addresses refused", addresses: ["127.0.0.1", "127.0.0.1"], answer: "refused" },
    // Nobody can connect to a broadcast address.
    { what: "only one of its addresses refused", addresses: ["127.0.0.1", "127.255.255.255"], answer: "unknown" }
  ])("says of a name of which $what that it is $answer", ({ addresses, answer }) =>
    Effect.gen(function* () {
      yield* named(addresses)
      const probe = yield* ConnectProbe.ConnectProbe
      const { port } = yield* Effect.scoped(listener)
      assert.strictEqual(yield* probe(new Endpoint.Endpoint({ ...endpoint("a", { port }), host: "two.test" })), answer)
    })
  )
})
