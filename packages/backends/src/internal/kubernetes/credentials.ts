/**
 * Where the API server is and who we are to it, as kubeconfig or the pod's service account say.
 *
 * `@kubernetes/client-node` reads both, runs credential programs and refreshes logins; it is loaded here and nowhere
 * else, when the first back end is built. Whatever stands in files is read again for each request, so that a rotated
 * token or certificate is used at once; what a program or an identity provider gave is kept until it is refused or the
 * kubeconfig says something else.
 */
import { X509Certificate } from "node:crypto"
import type { KubeConfig } from "@kubernetes/client-node"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import * as Policy from "@muster/core/Policy"
import { TimedOut, Unauthenticated, Unreadable } from "@muster/core/RegistryError"

/** Where to look. */
export interface Source {
  /** A kubeconfig file; by default `KUBECONFIG`, `~/.kube/config`, else the service account of the pod. */
  readonly kubeconfig?: string | undefined
  /** The context of the kubeconfig to use; by default its current one. */
  readonly context?: string | undefined
  /** Where the service account of a pod is mounted below; the default is the root. */
  readonly root?: string | undefined
}

/** One moment's access to an API server. */
interface Access {
  readonly server: string
  readonly headers: Readonly<Record<string, string>>
  readonly transport: Transport
}

/** What a connection depends on: equal texts may share one. */
export interface Transport {
  readonly proxy: string | undefined
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly servername: string | undefined
  readonly rejectUnauthorized: boolean
}

/** A kubeconfig as it was read, with what client-node has learned by it since. */
interface Login {
  readonly text: string
  /** What client-node puts into the options of a request. A program that runs is waited for by all who ask. */
  readonly options: () => Promise<unknown>
  readonly isRunning: () => boolean
}

/** The credentials of an API server. */
export interface Credentials {
  /** The namespace of the context or of the pod. */
  readonly namespace: string | undefined
  readonly access: Effect.Effect<Access, Unreadable | Unauthenticated | TimedOut>
  /** Nothing that was remembered is used again. A program that runs gives something newer than that. */
  readonly forget: Effect.Effect<void>
}

const Pem = Schema.optionalKey(Schema.UndefinedOr(Schema.Union([Schema.String, Schema.instanceOf(Buffer)])))

/** What client-node writes into the options of a request. */
const Applied = Schema.Struct({
  headers: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  auth: Schema.optionalKey(Schema.String),
  ca: Pem,
  cert: Pem,
  key: Pem,
  servername: Schema.optionalKey(Schema.String),
  rejectUnauthorized: Schema.optionalKey(Schema.Boolean)
})

const decodeApplied = Schema.decodeUnknownEffect(Applied)

/** Where js-yaml stopped. The rest of what it says quotes the file, and with it perhaps a secret. */
const isNoYaml = Schema.is(Schema.Struct({ mark: Schema.Struct({ line: Schema.Number, column: Schema.Number }) }))

/** What went wrong, in words without secrets. Never a `cause`: it may hold a whole file or the arguments of a program. */
const problemOf = (cause: unknown): string => {
  if (isNoYaml(cause)) return `it is no YAML at ${cause.mark.line + 1}:${cause.mark.column + 1}`
  return cause instanceof Error ? cause.message : String(cause)
}

const unreadable = (what: string) => (cause: unknown) => new Unreadable({ message: `${what}: ${problemOf(cause)}` })

/** Credentials from there. Fails at once where nothing says which; whether they are good shows when they are used. */
export const make = Effect.fnUntraced(function* (source: Source) {
  const patience = yield* Policy.OpenDeadline
  const library = yield* Effect.tryPromise({
    try: () => import("@kubernetes/client-node"),
    catch: unreadable("@kubernetes/client-node cannot be loaded; is it installed, and Node at least 22.19?")
  })
  let kept: Login | undefined

  const read = Effect.try({
    try: () => {
      const config = new library.KubeConfig()
      if (source.root !== undefined) config.loadFromCluster(source.root)
      else if (source.kubeconfig !== undefined) config.loadFromFile(source.kubeconfig)
      else config.loadFromDefault()
      if (source.context !== undefined) config.setCurrentContext(source.context)
      return config
    },
    catch: unreadable(`the kubeconfig${source.kubeconfig === undefined ? "" : ` ${source.kubeconfig}`} cannot be read`)
  })

  const choose = Effect.gen(function* () {
    const config = yield* read
    const context = config.getContextObject(config.getCurrentContext())
    const cluster = config.getCurrentCluster()
    const user = config.getCurrentUser()
    if (context === null || cluster === null || user === null) {
      const message = `the kubeconfig has no context ${config.getCurrentContext()}, or not the cluster and user of it`
      return yield* new Unreadable({ message })
    }
    // What client-node makes up where it finds nothing, and where a pod has no service in its environment.
    if (context.name === "loaded-context" || cluster.server === "https://undefined:undefined") {
      const message = "there is no kubeconfig, and this is no pod with a service account; name a kubeconfig file"
      return yield* new Unreadable({ message })
    }
    return { config, cluster, user, namespace: context.namespace?.trim() }
  })

  const current = Effect.gen(function* () {
    const { cluster, config, user } = yield* choose
    const text = config.exportConfig()
    const login = kept?.text === text ? kept : makeLogin(text, config)
    kept = remembers(user) ? login : undefined
    const options = yield* Effect.tryPromise({
      try: login.options,
      catch: (cause) => {
        // V8 quotes what it cannot parse.
        const isNoJson = cause instanceof SyntaxError
        const problem = isNoJson ? "what a program or an identity provider gave is no credential" : problemOf(cause)
        return new Unauthenticated({ message: `no credentials for ${cluster.server}: ${problem}` })
      }
    })
    const {
      auth,
      headers = {},
      ...tls
    } = yield* Effect.mapError(
      decodeApplied(options),
      () => new Unreadable({ message: "client-node gave unexpected options; what it took for a key may be no text" })
    )
    if (tls.cert !== undefined) yield* notExpired(tls.cert)
    const access: Access = {
      server: cluster.server,
      headers: headersOf(headers, auth),
      transport: {
        proxy: cluster.proxyUrl,
        ca: tls.ca?.toString(),
        cert: tls.cert?.toString(),
        key: tls.key?.toString(),
        servername: tls.servername,
        rejectUnauthorized: tls.rejectUnauthorized ?? true
      }
    }
    return access
  })

  const forget = Effect.sync(() => {
    if (kept?.isRunning() === false) kept = undefined
  })

  const { namespace } = yield* choose
  const self: Credentials = {
    namespace,
    access: current.pipe(
      Effect.timeoutOrElse({
        duration: patience,
        orElse: () => {
          const message = `the credentials took longer than ${Duration.format(patience)}; they are waited for`
          return Effect.fail(new TimedOut({ message }))
        }
      })
    ),
    forget
  }
  return self
})

const makeLogin = (text: string, config: KubeConfig): Login => {
  let running: Promise<unknown> | undefined
  const run = async () => {
    const options = {}
    await config.applyToHTTPSOptions(options)
    return options
  }
  return {
    text,
    options: () =>
      (running ??= run().finally(() => {
        running = undefined
      })),
    isRunning: () => running !== undefined
  }
}

/** Files with a token often end in a line break, which no header may have. */
const headersOf = (headers: Readonly<Record<string, string>>, auth: string | undefined) => {
  const basic = auth === undefined ? {} : { Authorization: `Basic ${Buffer.from(auth).toString("base64")}` }
  return { ...Record.map(headers, (value) => value.trim()), ...basic }
}

/** An API server would hang up on an expired certificate without a word. */
const notExpired = Effect.fnUntraced(function* (cert: string | Buffer) {
  const { validToDate } = yield* Effect.try({
    try: () => new X509Certificate(cert),
    catch: unreadable("our certificate cannot be read")
  })
  if (validToDate.getTime() >= (yield* Clock.currentTimeMillis)) return
  const message = `our certificate expired on ${validToDate.toISOString()}; renew it, nothing has to be restarted`
  return yield* new Unauthenticated({ message })
})

/** Whether client-node holds a login that is worth keeping, because a program or an identity provider gave it. */
const remembers = (user: NonNullable<ReturnType<KubeConfig["getCurrentUser"]>>): boolean => {
  const isFile = isTokenFile(user.authProvider)
  return Boolean(user.exec) || (Boolean(user.authProvider) && !isFile)
}

const isTokenFile = Schema.is(Schema.Struct({ config: Schema.Struct({ tokenFile: Schema.String }) }))
