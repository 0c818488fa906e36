/**
 * Who we are to a registry, and how we know that it is the registry: a login, and TLS with the names of PEM files.
 *
 * Files are read for each new connection, so that certificates can be replaced without a restart.
 */
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import { readFile } from "node:fs/promises"

/** A user of the registry; a client certificate may need none. */
export interface Login {
  readonly user: string
  readonly password: Redacted.Redacted
}

/** TLS, with the names of PEM files. */
export interface Tls {
  /** The authorities that may sign the certificate of the registry. Default: those that Node trusts. */
  readonly ca?: string | undefined
  /** Our own certificate; needs `key`. */
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** The name that the certificate of the registry must have instead of the host. */
  readonly serverName?: string | undefined
  /** Believes any certificate. For tests and for go-zero's `InsecureSkipVerify`. */
  readonly skipVerify?: boolean | undefined
}

/** The contents of the files; fails with the name of the one that cannot be read. */
export const read = ({ ca, cert, key }: Tls) => Effect.all({ ca: pem(ca), cert: pem(cert), key: pem(key) })

const pem = (path: string | undefined) =>
  path === undefined
    ? Effect.undefined
    : Effect.tryPromise({
        try: (signal) => readFile(path, { signal }),
        catch: (cause) => new Error(`cannot read ${path}: ${String(cause)}`, { cause })
      })

/** What it is called when the contents do not fit together, or are none. */
export const unusable = (cause: unknown) => new Error(`the certificates: ${String(cause)}`, { cause })

/** The codes with which Node and OpenSSL refuse the certificate of a server. */
export const badCertificate = /^(CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_|HOSTNAME_|ERR_TLS_CERT_)/
