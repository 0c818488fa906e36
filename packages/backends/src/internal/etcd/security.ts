/**
 * Who we are to etcd, and how we know that it is etcd: user and password, TLS, client certificates.
 *
 * Files are read for each new connection, so that certificates can be replaced without a restart. One that cannot be
 * read fails the connection, with its name.
 */
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import { credentials, status } from "@grpc/grpc-js"
import { readFile } from "node:fs/promises"
import { GrpcError } from "./grpcError.ts"

/** A user of etcd; a client certificate needs none. */
export interface Login {
  readonly user: string
  readonly password: Redacted.Redacted
}

/** TLS, with the names of PEM files. */
export interface Tls {
  /** The authorities that may sign the certificate of etcd. Default: those that Node trusts. */
  readonly ca?: string | undefined
  /** Our own certificate; needs `key`. */
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** The name that the certificate of etcd must have instead of the host. */
  readonly serverName?: string | undefined
  /** Believes any certificate. For tests and for go-zero's `InsecureSkipVerify`. */
  readonly skipVerify?: boolean | undefined
}

export interface Access {
  readonly login: Login | undefined
  readonly tls: Tls | undefined
}

/** The credentials and the options of a new channel. */
export const channel = Effect.fnUntraced(function* ({ tls }: Access) {
  if (tls === undefined) return { credentials: credentials.createInsecure(), options: {} }
  const [ca, key, cert] = yield* Effect.all([pem(tls.ca), pem(tls.key), pem(tls.cert)])
  const made = yield* Effect.try({
    try: () => credentials.createSsl(ca, key, cert, { rejectUnauthorized: tls.skipVerify !== true }),
    catch: (cause) => new GrpcError({ code: status.INVALID_ARGUMENT, message: `the certificates: ${String(cause)}` })
  })
  const options = tls.serverName === undefined ? {} : { "grpc.ssl_target_name_override": tls.serverName }
  return { credentials: made, options }
})

const pem = (path: string | undefined) =>
  path === undefined
    ? Effect.succeed(null)
    : Effect.tryPromise({
        try: (signal) => readFile(path, { signal }),
        catch: (cause) =>
          new GrpcError({ code: status.INVALID_ARGUMENT, message: `cannot read ${path}: ${String(cause)}`, cause })
      })
