/** The credentials and the options of a new gRPC channel; a certificate that cannot be used fails it, with its name. */
import * as Effect from "effect/Effect"
import { credentials } from "@grpc/grpc-js"
import * as Access from "./access.ts"

export const make = Effect.fnUntraced(function* (tls: Access.Tls | undefined) {
  if (tls === undefined) return { credentials: credentials.createInsecure(), options: {} }
  const { ca, cert, key } = yield* Access.read(tls)
  const made = yield* Effect.try({
    try: () =>
      credentials.createSsl(ca ?? null, key ?? null, cert ?? null, { rejectUnauthorized: tls.skipVerify !== true }),
    catch: Access.unusable
  })
  const options = tls.serverName === undefined ? {} : { "grpc.ssl_target_name_override": tls.serverName }
  return { credentials: made, options }
})
