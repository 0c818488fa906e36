/**
 * Which registry, written in one line or in go-zero's configuration, as data.
 *
 * The grammar is in internal/targetGrammar.ts: `direct:///h1:p,h2:p`, `etcd://h1:p,h2:p?prefix=P`, go-zero's
 * `etcd:///h1:p?key=K` (also as `discov:`), `k8s://ns/service:port`, `consul://h:p`, `nacos://h1:p,h2:p`,
 * `local:./file`, `memory:`. `parse(format(target))` is the target again. Whatever is malformed is refused with an
 * error that shows where; nothing is guessed.
 */
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { Host, Port, ServiceName } from "./Endpoint.ts"
import * as Scanner from "./internal/scanner.ts"
import * as Grammar from "./internal/targetGrammar.ts"

/**
 * A host and a port; an IPv6 host stands in brackets in text only.
 *
 * @category models
 * @since 0.1.0
 */
export const Address = Schema.Struct({
  host: Host.check(Schema.makeFilter((host) => !host.includes(":") || Grammar.isIPv6(host) || "an IPv6 address")),
  port: Port
})

/**
 * A host and a port.
 *
 * @category models
 * @since 0.1.0
 */
export type Address = typeof Address.Type

const hosts = Schema.NonEmptyArray(Address)
const Name = Schema.NonEmptyString.check(Schema.makeFilter((name) => name.isWellFormed() || "well-formed text"))
const optional = Schema.optionalKey(Name)

/**
 * A registry, and where in it services are found.
 *
 * @category models
 * @since 0.1.0
 */
export const Target = Schema.TaggedUnion({
  /** Fixed addresses, without any registry. */
  Direct: { addresses: hosts },
  /** Muster's entries in etcd, below `prefix` (default "muster"). */
  Etcd: { hosts, prefix: Name },
  /** go-zero's entries of one service in etcd: `key/…` holds an address. */
  EtcdKey: { hosts, key: Name },
  /** The EndpointSlices of one Service; `port` is its number or its name, by default the only one. */
  Kubernetes: {
    namespace: Schema.NonEmptyString,
    service: ServiceName,
    port: Schema.optionalKey(Schema.Union([Port, Schema.NonEmptyString]))
  },
  /** A Consul agent. */
  Consul: { agent: Address, datacenter: optional, namespace: optional, partition: optional },
  /** A Nacos cluster. */
  Nacos: { hosts, namespace: optional, group: optional, cluster: optional },
  /** One file, shared by the processes of one machine. */
  Local: { path: Schema.NonEmptyString },
  /** Inside this process. */
  Memory: {}
})

/**
 * A registry, and where in it services are found.
 *
 * @category models
 * @since 0.1.0
 */
export type Target = typeof Target.Type

/**
 * A target that a server can register with.
 *
 * @category models
 * @since 0.1.0
 */
export type Writable = Exclude<Target, { readonly _tag: "Direct" | "Kubernetes" }>

/**
 * A text or a configuration that is no target: what was expected at which character of `text`, and in which field
 * (`where`, empty for a text of its own).
 *
 * @category errors
 * @since 0.1.0
 */
export class TargetError extends Schema.TaggedError<TargetError>()("TargetError", {
  where: Schema.String,
  text: Schema.String,
  offset: Schema.Int,
  expected: Schema.String
}) {
  /**
   * What was expected; below it, where there is one, the text with a caret at the place.
   *
   * @since 0.1.0
   */
  override get message(): string {
    const what = `${this.where === "" ? "" : `${this.where}: `}expected ${this.expected}`
    return this.text === "" ? what : `${what}\n  ${this.text}\n  ${" ".repeat(this.offset)}^`
  }
}

/**
 * Whether servers can register there; Direct and Kubernetes only answer.
 *
 * @category guards
 * @since 0.1.0
 */
export const isWritable = (target: Target): target is Writable =>
  target._tag !== "Direct" && target._tag !== "Kubernetes"

/**
 * The service that the target itself names, and so the host to call: the Service of `k8s:`, and the last segment of
 * go-zero's key in lower case where that is a service name.
 *
 * **Gotchas**
 *
 * It is no filter: go-zero's key and `direct:` list the same instances whatever name is asked for, and `k8s:` any Service
 * of the namespace. `BalancedHttpClient.Services` says which hosts are asked for, and has to for a name with a dot.
 *
 * @category getters
 * @since 0.1.0
 */
export const service = (target: Target): ServiceName | undefined => {
  if (target._tag === "Kubernetes") return target.service
  if (target._tag !== "EtcdKey") return undefined
  return Option.getOrUndefined(decodeServiceName(target.key.split("/").at(-1)?.toLowerCase()))
}

const decodeServiceName = Schema.decodeUnknownOption(ServiceName)

const read = <A>(
  text: string,
  rule: (input: Scanner.Scanner) => Scanner.Read<A>,
  where = ""
): Result.Result<A, TargetError> => {
  const input = Scanner.make(text)
  return Result.gen(function* () {
    const value = yield* rule(input)
    yield* input.end()
    return value
  }).pipe(Result.mapError((mismatch) => new TargetError({ where, text, ...mismatch })))
}

/**
 * Reads a target.
 *
 * @category parsing
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<Target, TargetError> => read(text, Grammar.target)

/**
 * Reads a target that a server can register with; one that only answers is refused here.
 *
 * @category parsing
 * @since 0.1.0
 */
export const parseWritable = (text: string): Result.Result<Writable, TargetError> =>
  Result.filterOrFail(parse(text), isWritable, () => {
    const expected = "a registry that can be written: etcd: consul: nacos: local: or memory:"
    return new TargetError({ where: "", text, offset: 0, expected })
  })

/**
 * Writes `host:port`, with brackets around an IPv6 host.
 *
 * @category formatting
 * @since 0.1.0
 */
export const formatAddress = ({ host, port }: Address): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`

const list = (addresses: ReadonlyArray<Address>) => addresses.map(formatAddress).join(",")

/**
 * Writes a target so that `parse` reads it again.
 *
 * @category formatting
 * @since 0.1.0
 */
export const format: (target: Target) => string = Target.match({
  Direct: ({ addresses }) => `direct:///${list(addresses)}`,
  Etcd: ({ hosts, prefix }) => `etcd://${list(hosts)}${query({ prefix })}`,
  EtcdKey: ({ hosts, key }) => `etcd:///${list(hosts)}${query({ key })}`,
  Kubernetes: ({ namespace, port, service }) => `k8s://${namespace}/${service}${port === undefined ? "" : `:${port}`}`,
  Consul: ({ agent, datacenter, namespace, partition }) =>
    `consul://${formatAddress(agent)}${query({ dc: datacenter, namespace, partition })}`,
  Nacos: ({ cluster, group, hosts, namespace }) => `nacos://${list(hosts)}/${query({ namespace, group, cluster })}`,
  Local: ({ path }) => `local:${path}`,
  Memory: () => "memory:"
})

/**
 * How go-zero's `Etcd` block logs in; file names as they stand there.
 *
 * @category models
 * @since 0.1.0
 */
export interface EtcdAccess {
  readonly user: string | undefined
  readonly pass: Redacted.Redacted | undefined
  readonly certFile: string | undefined
  readonly certKeyFile: string | undefined
  readonly caCertFile: string | undefined
  readonly insecureSkipVerify: boolean
}

/**
 * What a go-zero configuration says: the target and, from an `Etcd` block, its login and the fixed id of the instance.
 *
 * **Gotchas**
 *
 * `target` alone leads to the registry as nobody, in plain text. What is beside it goes along with
 * `FromTarget.accessOf(configured)`, or with `Etcd.fromGoZero(configured)` to `Etcd.layer`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Configured {
  readonly target: Target
  readonly access: EtcdAccess | undefined
  readonly id: number | undefined
}

const text = Schema.optionalKey(Schema.String)

const GoZero = Schema.Struct({
  endpoints: Schema.optionalKey(Schema.Array(Schema.String)),
  target: text,
  etcd: Schema.optionalKey(
    Schema.Struct({
      hosts: Schema.Array(Schema.String).check(Schema.isMinLength(1, { expected: "at least one host" })),
      key: Schema.NonEmptyString,
      id: Schema.optionalKey(Schema.Int),
      user: text,
      pass: text,
      certfile: text,
      certkeyfile: text,
      cacertfile: text,
      insecureskipverify: Schema.optionalKey(Schema.Boolean)
    })
  )
})

const decodeGoZero = Schema.decodeUnknownResult(GoZero, { errors: "first" })
const issues = SchemaIssue.makeFormatterStandardSchemaV1()

/**
 * Reads the parsed block of a go-zero client or server: `Endpoints`, else `Target`, else `Etcd: { Hosts, Key, … }`.
 * Names count without regard to case, empty values as left out, and fields that are not about discovery are ignored.
 *
 * @category parsing
 * @since 0.1.0
 */
export const fromConfig = (config: unknown): Result.Result<Configured, TargetError> =>
  Result.gen(function* () {
    const { endpoints, etcd, target } = yield* Result.mapError(decodeGoZero(normalized(config)), ({ issue }) => {
      const [{ message, path = [] } = { message: "a configuration" }] = issues(issue).issues
      return refused(fieldName(path), message === "Missing key" ? "a value" : message.replace(/^Expected /, ""))
    })
    if (endpoints !== undefined) return alone({ _tag: "Direct", addresses: yield* addresses(endpoints, "Endpoints") })
    if (target !== undefined) return alone(yield* read(target, Grammar.target, "Target"))
    if (etcd === undefined) return yield* Result.fail(refused("", "Endpoints, Target or Etcd"))
    return {
      target: { _tag: "EtcdKey", hosts: yield* addresses(etcd.hosts, "Etcd.Hosts"), key: etcd.key },
      access: {
        user: etcd.user,
        pass: etcd.pass === undefined ? undefined : Redacted.make(etcd.pass),
        certFile: etcd.certfile,
        certKeyFile: etcd.certkeyfile,
        caCertFile: etcd.cacertfile,
        insecureSkipVerify: etcd.insecureskipverify ?? false
      },
      id: etcd.id
    }
  })

const alone = (target: Target): Configured => ({ target, access: undefined, id: undefined })

/** Never shows the configuration itself, which may hold a password. */
const refused = (where: string, expected: string) => new TargetError({ where, text: "", offset: 0, expected })

/** Each of them read as an address; a Schema above has seen to it that there is one. */
const addresses = (texts: ReadonlyArray<string>, where: string) =>
  Result.gen(function* () {
    const [first = "", ...rest] = texts
    const all: [Address, ...Array<Address>] = [yield* read(first, Grammar.address, `${where}[0]`)]
    for (const [n, text] of rest.entries()) all.push(yield* read(text, Grammar.address, `${where}[${n + 1}]`))
    return all
  })

/** Names in lower case, without what is empty, as go-zero reads its YAML. */
function normalized(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value
  const fields = Object.entries(value).flatMap(([name, field]) => {
    const inner = normalized(field)
    return isNothing(inner) ? [] : [[name.toLowerCase(), inner] as const]
  })
  return Object.fromEntries(fields)
}

function isNothing(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return true
  return typeof value === "object" && Object.keys(value).length === 0
}

/** `["etcd", "hosts", 0]` as `Etcd.Hosts[0]`. */
function fieldName(path: ReadonlyArray<unknown>): string {
  const names = path.map((part) =>
    typeof part === "number" ? `[${part}]` : `.${String(part).replace(/^./, (letter) => letter.toUpperCase())}`
  )
  return names.join("").replace(/^\./, "")
}

function query(parameters: Readonly<Record<string, string | undefined>>): string {
  const set = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(value).replaceAll("%2F", "/")}`]
  )
  return set.length === 0 ? "" : `?${set.join("&")}`
}
