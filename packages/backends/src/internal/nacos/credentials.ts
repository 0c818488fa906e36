/** The credentials of a gRPC channel to Nacos, from PEM files that are read for each new connection. */
import * as Effect from "effect/Effect"
import { Untrusted } from "@muster/core/RegistryError"
import { credentials } from "@grpc/grpc-js"
import * as Tls from "../tls.ts"

export const make = Effect.fnUntraced(function* (tls: Tls.Tls | undefined) {
  if (tls === undefined) return { credentials: credentials.createInsecure(), channel: {} }
  const { serverName, skipVerify } = tls
  return yield* Effect.flatMap(Tls.read(tls), ({ ca, cert, key }) =>
    Effect.try({
      try: () => ({
        credentials: credentials.createSsl(bytes(ca), bytes(key), bytes(cert), {
          rejectUnauthorized: skipVerify !== true
        }),
        channel: serverName === undefined ? {} : { "grpc.ssl_target_name_override": serverName }
      }),
      catch: (cause) => new Error(`the certificates: ${String(cause)}`, { cause })
    })
  ).pipe(Effect.mapError((cause) => new Untrusted({ message: cause.message, cause })))
})

const bytes = (pem: Buffer | undefined) => pem ?? null
