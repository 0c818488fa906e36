/**
 * Whether anything listens at an endpoint: one TCP connection, opened and closed at once.
 *
 * Only a refused connection is evidence, of a name at each of its addresses; what does not answer in time says nothing.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Endpoint } from "@muster/core/Endpoint"
import * as Net from "node:net"
import { someCode } from "./internal/errorCodes.ts"

/**
 * Tells whether a connection to the endpoint was accepted, refused, or neither within 2 s.
 *
 * @category services
 * @since 0.1.0
 */
export const ConnectProbe = Context.Reference<
  (endpoint: Endpoint) => Effect.Effect<"accepted" | "refused" | "unknown">
>("@muster/runtime/ConnectProbe", {
  defaultValue: () => (endpoint) =>
    Effect.acquireUseRelease(
      Effect.sync(() => Net.connect({ host: endpoint.host, port: endpoint.port })),
      (socket) =>
        Effect.callback<"accepted" | "refused" | "unknown">((resume) => {
          socket.once("connect", () => resume(Effect.succeed("accepted")))
          socket.on("error", (error) =>
            resume(Effect.succeed(someCode(error, (code) => code === "ECONNREFUSED") ? "refused" : "unknown"))
          )
        }),
      (socket) => Effect.sync(() => socket.destroy())
    ).pipe(Effect.timeoutOrElse({ duration: "2 seconds", orElse: () => Effect.succeed("unknown" as const) }))
})
