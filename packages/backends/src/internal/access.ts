/**
 * Who we are to a registry, and how we know that it is the registry: a login, and TLS with the names of PEM files.
 *
 * Files are read for each new connection, so that certificates can be replaced without a restart.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Target from "@muster/core/Target"
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

/** A user without a password has an empty one, as in go-zero. */
export const loginOf = (user: string | undefined, password = Redacted.make("")): Login | undefined =>
  user === undefined ? undefined : { user, password }

/** TLS is meant where anything is said of it. */
export const tlsOf = (tls: Tls): Tls | undefined =>
  Object.values(tls).some((value) => value !== undefined && value !== false) ? tls : undefined

/** What go-zero's `Etcd` block says of it, and the id that it gives the instance. */
export const ofGoZero = ({ access, id }: Target.Configured) => ({
  id,
  login: loginOf(access?.user, access?.pass),
  tls: tlsOf({
    ca: access?.caCertFile,
    cert: access?.certFile,
    key: access?.certKeyFile,
    skipVerify: access?.insecureSkipVerify
  })
})

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
