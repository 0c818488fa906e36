/**
 * The demo's server, told what to do as that one is, which serves the same orders over gRPC beside, in the same tally.
 *
 * gRPC stops last, as HTTP does: only after the server has said that it is draining and has been withdrawn.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Server, ServerCredentials, type handleUnaryCall } from "@grpc/grpc-js"
import { Effect, Layer, Option } from "effect"
import { HttpRouter } from "effect/http"
import { parseArgs } from "node:util"
import { run } from "../../../demo/src/server.ts"
import * as Shop from "../../../demo/src/Shop.ts"
import * as Tunnel from "../peers/tunnel.ts"

const { values } = parseArgs({
  allowPositionals: true,
  options: {
    registry: { type: "string", default: "" },
    service: { type: "string", default: "" },
    id: { type: "string", default: "" },
    tally: { type: "string" },
    "until-stdin-ends": { type: "boolean", default: false }
  }
})

const { id, registry, service, tally } = values

/** Serves the orders over gRPC until the scope closes, on a free port. */
const overGrpc = Effect.gen(function* () {
  const routes = Layer.provide(Shop.routes({ id, tallyFile: tally }), NodeHttpServer.layerHttpServices)
  const { handler } = yield* Effect.acquireRelease(
    Effect.sync(() => HttpRouter.toWebHandler(routes, { disableLogger: true })),
    ({ dispose }) => Effect.promise(dispose)
  )
  const answer = async ({ body, method, path }: Tunnel.Asked): Promise<Tunnel.Answered> => {
    const headers = { "content-type": "application/json" }
    const response = await handler(new Request(`http://${service}${path}`, { method, headers, body }))
    return { status: response.status, body: await response.text() }
  }
  const handle: handleUnaryCall<Tunnel.Asked, Tunnel.Answered> = ({ request }, reply) => {
    answer(request).then(
      (answered) => reply(null, answered),
      (cause: unknown) => reply({ details: String(cause) })
    )
  }
  const server = yield* Effect.acquireRelease(
    Effect.sync(() => new Server()),
    (server) => Effect.callback<void>((resume) => server.tryShutdown(() => resume(Effect.void)))
  )
  server.addService(Tunnel.methods, { Once: handle, Repeatable: handle })
  return yield* Effect.callback<number, Error>((resume) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
      resume(error === null ? Effect.succeed(port) : Effect.fail(error))
    )
  )
})

const program = Effect.flatMap(overGrpc, (port) =>
  run({
    registry,
    service,
    id: Option.some(id),
    host: "127.0.0.1",
    port: 0,
    weight: 1,
    zone: Option.none(),
    metadata: Tunnel.metadata(port),
    tally: Option.fromUndefinedOr(tally),
    untilStdinEnds: values["until-stdin-ends"]
  })
)

program.pipe(Effect.scoped, Effect.provide(NodeServices.layer), NodeRuntime.runMain)
