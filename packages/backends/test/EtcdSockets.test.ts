import { ChannelCredentials, Channel } from "@grpc/grpc-js"
import { describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit } from "effect"
import { createServer, type Socket } from "node:net"
import { NotingSockets } from "../src/internal/etcd/sockets.ts"

/** Accepts connections and never says a word, as a member that was stopped does. */
const mute = Effect.gen(function* () {
  const accepted = yield* Deferred.make<Socket>()
  const server = yield* Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>>((resume) => {
      const server = createServer((socket) => Deferred.doneUnsafe(accepted, Exit.succeed(socket)))
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )
  const address = server.address()
  return { accepted, port: typeof address === "object" && address !== null ? address.port : 0 }
})

const ended = (socket: Socket) =>
  Effect.callback<void>((resume) => {
    socket.once("close", () => resume(Effect.void))
    socket.resume()
  })

const open = (port: number) => {
  const noting = new NotingSockets(ChannelCredentials.createInsecure())
  const channel = new Channel(`127.0.0.1:${port}`, noting, { "grpc.use_local_subchannel_pool": 1 })
  channel.getConnectivityState(true)
  return () => {
    channel.close()
    noting.destroySockets()
  }
}

describe("the sockets of a channel", () => {
  it.live("F-etcd-a2, F-c5: are closed with it, also while they connect to a member that never says a word", () =>
    Effect.gen(function* () {
      const { accepted, port } = yield* mute
      const close = open(port)
      const socket = yield* Deferred.await(accepted)
      close()
      yield* ended(socket)
    })
  )
})
