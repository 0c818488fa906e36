/**
 * The grammar of targets, one rule per scheme; `format` in Target.ts is its inverse.
 *
 * ```
 * target    = "direct:" hosts
 *           | ("etcd:" | "discov:") hosts [ "/" key | "?key=" key | "?prefix=" prefix ]
 *           | "k8s://" [ namespace ] "/" service [ ":" port ]
 *           | "consul://" address [ "/" ] [ "?" dc & namespace & partition ]
 *           | "nacos://" hosts [ "/" ] [ "?" namespace & group & cluster ]
 *           | "local:" path          a path that begins with "/", "./" or "../", taken as it is
 *           | "memory:"
 * hosts     = "//" [ "/" ] address { "," address }
 * address   = ( name | "[" IPv6 "]" ) ":" port
 * ```
 * Keys and the values of parameters are percent-encoded. Several hosts in one authority are no legal URL, which is why
 * this is no URL parser.
 */
import * as Result from "effect/Result"
import { ServiceName } from "../Endpoint.ts"
import type { Address, Target } from "../Target.ts"
import type { Read, Scanner } from "./scanner.ts"

/** Where Muster's own entries are kept in etcd unless the target says otherwise. */
const defaultPrefix = "muster"

const port = (input: Scanner): Read<number> => {
  const at = input.offset()
  return Result.flatMap(input.take(/\d+/, "a port from 1 to 65535"), (digits) => {
    const number = Number(digits)
    return number >= 1 && number <= 65_535 ? Result.succeed(number) : input.fail("a port from 1 to 65535", at)
  })
}

/** Eight groups of hexadecimal digits, `::` for the missing ones, the last two perhaps as IPv4; a zone may follow. */
export const isIPv6 = (host: string): boolean => {
  const [, address = ""] = /^([^%]*)(?:%[\w.-]+)?$/.exec(host) ?? []
  const halves = address.replace(/\d+\.\d+\.\d+\.\d+$/, "0:0").split("::")
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")))
  return (
    groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group)) &&
    (halves.length === 2 ? groups.length < 8 : halves.length === 1 && groups.length === 8)
  )
}

const host = (input: Scanner): Read<string> =>
  Result.gen(function* () {
    if (!input.skip("[")) return yield* input.take(/[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?/, "a host")
    const at = input.offset()
    const host = yield* input.take(/[0-9A-Za-z:.%_-]*/, "an IPv6 address")
    if (!isIPv6(host)) return yield* input.fail("an IPv6 address", at)
    return input.skip("]") ? host : yield* input.fail("']'")
  })

/** One `host:port`. */
export const address = (input: Scanner): Read<Address> =>
  Result.gen(function* () {
    const name = yield* host(input)
    if (!input.skip(":")) return yield* input.fail("':' and a port")
    return { host: name, port: yield* port(input) }
  })

const slashes = (input: Scanner): Read<void> => (input.skip("//") ? Result.succeed(undefined) : input.fail("'//'"))

const hosts = (input: Scanner): Read<readonly [Address, ...Array<Address>]> =>
  Result.gen(function* () {
    yield* slashes(input)
    input.skip("/")
    const all: [Address, ...Array<Address>] = [yield* address(input)]
    while (input.skip(",")) all.push(yield* address(input))
    return all
  })

const decoded = (input: Scanner, pattern: RegExp, expected: string): Read<string> => {
  const mismatch = { offset: input.offset(), expected: "percent-encoded UTF-8" }
  return Result.flatMap(input.take(pattern, expected), (raw) =>
    Result.try({ try: () => decodeURIComponent(raw), catch: () => mismatch }).pipe(
      Result.filterOrFail(
        (text) => text.isWellFormed(),
        () => mismatch
      )
    )
  )
}

/** What follows `?`, of these names each at most once. */
const parameters = <Name extends string>(
  input: Scanner,
  ...names: ReadonlyArray<Name>
): Read<{ readonly [N in Name]?: string }> =>
  Result.gen(function* () {
    const values: { [N in Name]?: string } = {}
    if (!input.skip("?")) return values
    do {
      const at = input.offset()
      const written = yield* input.take(/[a-z]*/, "a parameter")
      const name = names.find((name) => name === written)
      if (name === undefined) return yield* input.fail(`a parameter: ${names.join(" or ")}`, at)
      if (values[name] !== undefined) return yield* input.fail(`'${name}' only once`, at)
      if (!input.skip("=")) return yield* input.fail("'='")
      values[name] = yield* decoded(input, /[^&#\s]+/, `a value for '${name}'`)
    } while (input.skip("&"))
    return values
  })

const etcd = (input: Scanner): Read<Target> =>
  Result.gen(function* () {
    const all = yield* hosts(input)
    if (input.skip("/")) {
      return { _tag: "EtcdKey", hosts: all, key: yield* decoded(input, /[^?&#\s]+/, "a key") }
    }
    const at = input.offset()
    const { key, prefix } = yield* parameters(input, "prefix", "key")
    if (key === undefined) return { _tag: "Etcd", hosts: all, prefix: prefix ?? defaultPrefix }
    if (prefix !== undefined) return yield* input.fail("either 'prefix' or 'key'", at)
    return { _tag: "EtcdKey", hosts: all, key }
  })

const label = /[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?/

const kubernetes = (input: Scanner): Read<Target> =>
  Result.gen(function* () {
    yield* slashes(input)
    let namespace = "default"
    if (!input.skip("/")) {
      namespace = yield* input.take(label, "a namespace")
      if (!input.skip("/")) return yield* input.fail("'/' and a service")
    }
    const service = ServiceName.make(yield* input.take(label, "a service"))
    if (!input.skip(":")) return { _tag: "Kubernetes", namespace, service }
    const name = yield* input.take(/(?=[a-z0-9-]*[a-z])[a-z0-9-]{1,63}|/, "a port")
    return { _tag: "Kubernetes", namespace, service, port: name === "" ? yield* port(input) : name }
  })

const consul = (input: Scanner): Read<Target> =>
  Result.gen(function* () {
    yield* slashes(input)
    const agent = yield* address(input)
    input.skip("/")
    const { dc, ...rest } = yield* parameters(input, "dc", "namespace", "partition")
    return { _tag: "Consul", agent, ...(dc === undefined ? {} : { datacenter: dc }), ...rest }
  })

const nacos = (input: Scanner): Read<Target> =>
  Result.gen(function* () {
    const all = yield* hosts(input)
    input.skip("/")
    return { _tag: "Nacos", hosts: all, ...(yield* parameters(input, "namespace", "group", "cluster")) }
  })

/** A path that says where it starts and does not end as a folder. */
const filePath = /\.{0,2}\/[^\0]*[^\0/](?<!\/\.{1,2})/

const local = (input: Scanner): Read<Target> =>
  Result.map(input.take(filePath, "the path of a file: /…, ./… or ../…"), (path) => ({ _tag: "Local", path }))

/** The rule of each scheme, for what follows its colon. */
const schemes: Readonly<Record<string, (input: Scanner) => Read<Target>>> = {
  direct: (input) => Result.map(hosts(input), (addresses) => ({ _tag: "Direct", addresses })),
  etcd,
  discov: etcd,
  k8s: kubernetes,
  consul,
  nacos,
  local,
  memory: () => Result.succeed({ _tag: "Memory" })
}

/** A target; what may follow it is not looked at. */
export const target = (input: Scanner): Read<Target> =>
  Result.gen(function* () {
    const scheme = yield* input.take(/[a-z0-9]*/, "a scheme")
    const rule = Object.hasOwn(schemes, scheme) ? schemes[scheme] : undefined
    if (rule === undefined || !input.skip(":")) {
      return yield* input.fail(
        `one of ${Object.keys(schemes)
          .map((name) => `${name}:`)
          .join(" ")}`,
        0
      )
    }
    return yield* rule(input)
  })
