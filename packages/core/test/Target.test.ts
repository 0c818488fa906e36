import { assert, describe, it } from "@effect/vitest"
import { Redacted, Result, Schema } from "effect"
import { type Endpoint, Target } from "@muster/core"

const parsed = (text: string) => Result.getOrThrowWith(Target.parse(text), (error) => error)
const refused = <A>(result: Result.Result<A, Target.TargetError>) => {
  if (Result.isSuccess(result)) throw new Error(`accepted: ${JSON.stringify(result.success)}`)
  return result.failure
}

const names = (text: string) => Target.service(parsed(text))
const direct = (host: string) => ({ _tag: "Direct", addresses: [{ host, port: 1 }] })
const read = (config: unknown) => Result.getOrThrowWith(Target.fromConfig(config), (error) => error)

const at = (...texts: ReadonlyArray<string>) => {
  const [first, ...rest] = texts.map((text) => {
    const colon = text.lastIndexOf(":")
    return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) }
  })
  if (first === undefined) throw new Error("no address")
  return [first, ...rest] as const
}
const service = (name: string) => name as Endpoint.ServiceName

const accepted: ReadonlyArray<readonly [string, Target.Target]> = [
  ["direct:///h1:1,h2:65535", { _tag: "Direct", addresses: at("h1:1", "h2:65535") }],
  ["direct://127.0.0.1:80", { _tag: "Direct", addresses: at("127.0.0.1:80") }],
  ["direct:///[::1]:80,[fe80::1%eth0]:81", { _tag: "Direct", addresses: at("::1:80", "fe80::1%eth0:81") }],
  ["direct:///[::ffff:10.0.0.1]:80", { _tag: "Direct", addresses: at("::ffff:10.0.0.1:80") }],
  ["etcd://h1:1", { _tag: "Etcd", hosts: at("h1:1"), prefix: "muster" }],
  ["etcd://h1:1,h2:2?prefix=/a/b", { _tag: "Etcd", hosts: at("h1:1", "h2:2"), prefix: "/a/b" }],
  ["etcd://h1:1/orders.rpc", { _tag: "EtcdKey", hosts: at("h1:1"), key: "orders.rpc" }],
  ["etcd://h1:1,h2:2/a/b%20c", { _tag: "EtcdKey", hosts: at("h1:1", "h2:2"), key: "a/b c" }],
  ["etcd:///h1:1,h2:2?key=orders.rpc", { _tag: "EtcdKey", hosts: at("h1:1", "h2:2"), key: "orders.rpc" }],
  ["discov://h1:1/orders.rpc", { _tag: "EtcdKey", hosts: at("h1:1"), key: "orders.rpc" }],
  ["discov:///h1:1,h2:2?key=a%26b", { _tag: "EtcdKey", hosts: at("h1:1", "h2:2"), key: "a&b" }],
  ["discov://h1:1?prefix=p", { _tag: "Etcd", hosts: at("h1:1"), prefix: "p" }],
  ["k8s://shop/orders:8080", { _tag: "Kubernetes", namespace: "shop", service: service("orders"), port: 8080 }],
  ["k8s://shop/orders:http-2", { _tag: "Kubernetes", namespace: "shop", service: service("orders"), port: "http-2" }],
  [
    "k8s://shop/orders:grpc-health-internal",
    { _tag: "Kubernetes", namespace: "shop", service: service("orders"), port: "grpc-health-internal" }
  ],
  ["k8s:///orders", { _tag: "Kubernetes", namespace: "default", service: service("orders") }],
  ["consul://h:8500", { _tag: "Consul", agent: { host: "h", port: 8500 } }],
  [
    "consul://h:8500/?dc=eu&namespace=n&partition=p",
    { _tag: "Consul", agent: { host: "h", port: 8500 }, datacenter: "eu", namespace: "n", partition: "p" }
  ],
  ["nacos://h1:1,h2:2/", { _tag: "Nacos", hosts: at("h1:1", "h2:2") }],
  [
    "nacos://h1:1?cluster=c&group=G&namespace=n",
    { _tag: "Nacos", hosts: at("h1:1"), namespace: "n", group: "G", cluster: "c" }
  ],
  ["local:/run/orders.db", { _tag: "Local", path: "/run/orders.db" }],
  ["local:./a b?c%20", { _tag: "Local", path: "./a b?c%20" }],
  ["local:../orders", { _tag: "Local", path: "../orders" }],
  ["memory:", { _tag: "Memory" }]
]

const anyScheme = "one of direct: etcd: discov: k8s: consul: nacos: local: memory:"

// The caret stands where the `^` of the second column does.
const malformed: ReadonlyArray<readonly [string, string, string]> = [
  ["", "^", anyScheme],
  ["orders", "^", anyScheme],
  ["http://h:1", "^", anyScheme],
  ["DIRECT:///h:1", "^", anyScheme],
  ["constructor:///h:1", "^", anyScheme],
  ["direct:h:1", "       ^", "'//'"],
  ["direct:///", "          ^", "a host"],
  ["direct:///h1:1,", "               ^", "a host"],
  ["direct:///h1:1,,h2:2", "               ^", "a host"],
  ["direct:///h1", "            ^", "':' and a port"],
  ["direct:///h1:", "             ^", "a port from 1 to 65535"],
  ["direct:///h1:1,h2:0", "                  ^", "a port from 1 to 65535"],
  ["direct:///h1:65536", "             ^", "a port from 1 to 65535"],
  ["direct:///h1:1x", "              ^", "the end"],
  ["direct:///h1:1 ", "              ^", "the end"],
  ["direct:///::1:80", "          ^", "a host"],
  ["direct:///[::1:80", "                 ^", "']'"],
  ["direct:///[1::2::3]:80", "           ^", "an IPv6 address"],
  ["direct:///[1:2:3]:80", "           ^", "an IPv6 address"],
  ["direct:///[::1", "              ^", "']'"],
  ["direct:///h1:1/orders", "              ^", "the end"],
  ["etcd://h1:1/", "            ^", "a key"],
  ["etcd://h1:1?", "            ^", "a parameter: prefix or key"],
  ["etcd://h1:1?keys=a", "            ^", "a parameter: prefix or key"],
  ["etcd://h1:1?key", "               ^", "'='"],
  ["etcd://h1:1?key=", "                ^", "a value for 'key'"],
  ["etcd://h1:1?key=a&key=b", "                  ^", "'key' only once"],
  ["etcd://h1:1?key=a&prefix=b", "           ^", "either 'prefix' or 'key'"],
  ["etcd://h1:1/k?key=a", "             ^", "the end"],
  ["etcd://h1:1?key=%zz", "                ^", "percent-encoded UTF-8"],
  ["etcd://h1:1?key=\ud800", "                ^", "percent-encoded UTF-8"],
  ["etcd://h1:1?key=%ff", "                ^", "percent-encoded UTF-8"],
  ["k8s://shop", "          ^", "'/' and a service"],
  ["k8s://shop/", "           ^", "a service"],
  ["k8s://Shop/orders", "      ^", "a namespace"],
  ["k8s:///orders:", "              ^", "a port from 1 to 65535"],
  ["k8s:///orders:99999", "              ^", "a port from 1 to 65535"],
  ["k8s:///orders:http:80", "                  ^", "the end"],
  ["consul://h", "          ^", "':' and a port"],
  ["consul://h:1,i:2", "            ^", "the end"],
  ["consul://h:1?dc=", "                ^", "a value for 'dc'"],
  ["nacos://h:1?dc=x", "            ^", "a parameter: namespace or group or cluster"],
  ["local:", "      ^", "the path of a file: /…, ./… or ../…"],
  ["local:orders.db", "      ^", "the path of a file: /…, ./… or ../…"],
  ["local:/run/", "          ^", "the end"],
  ["memory:orders", "       ^", "the end"]
]

const Hosts = Schema.NonEmptyArray(
  Schema.Struct({
    host: Schema.Literals(["h", "a-b.c_d", "127.0.0.1", "::1", "fe80::1%eth0", "1:2:3:4:5:6:7:8"]),
    port: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 }))
  })
)
const Name = Schema.Literals(["a", "a/b", "ü ☃", "&=?#%", "a+b", "%20", "…/"])
const Maybe = Schema.optionalKey(Name)
const Any = Schema.Union([
  Schema.TaggedStruct("Direct", { addresses: Hosts }),
  Schema.TaggedStruct("Etcd", { hosts: Hosts, prefix: Name }),
  Schema.TaggedStruct("EtcdKey", { hosts: Hosts, key: Name }),
  Schema.TaggedStruct("Kubernetes", {
    namespace: Schema.Literals(["default", "a-b", "1"]),
    service: Schema.Literals(["orders", "o", "0-0"]),
    port: Schema.optionalKey(Schema.Literals([1, 65_535, "http", "8-x"]))
  }),
  Schema.TaggedStruct("Consul", { agent: Hosts.value, datacenter: Maybe, namespace: Maybe, partition: Maybe }),
  Schema.TaggedStruct("Nacos", { hosts: Hosts, namespace: Maybe, group: Maybe, cluster: Maybe }),
  Schema.TaggedStruct("Local", { path: Schema.Literals(["/a", "./a b", "../%20?x=#", "/a/../b"]) }),
  Schema.TaggedStruct("Memory", {})
])

describe("Target", () => {
  it.each(accepted)("reads %s", (text, target) => {
    assert.deepStrictEqual(parsed(text), target)
  })

  it.each(malformed)("refuses %j and shows where", (text, caret, expected) => {
    const error = refused(Target.parse(text))
    assert.deepStrictEqual([error.offset, error.expected, error.text], [caret.indexOf("^"), expected, text])
    assert.strictEqual(
      error.message,
      text === "" ? `expected ${expected}` : `expected ${expected}\n  ${text}\n  ${caret}`
    )
  })

  it.prop("writes every target so that it reads the same target again", [Any], ([drawn]) => {
    const target = Schema.decodeUnknownSync(Target.Target)(drawn)
    assert.deepStrictEqual(parsed(Target.format(target)), target)
  })

  it.prop("reads or refuses any text, with a place that is in it", [Schema.String], ([drawn]) => {
    for (const text of [drawn, `direct:///${drawn}`, `etcd://h:1?key=${drawn}`, `k8s://${drawn}`, `local:${drawn}`]) {
      const result = Target.parse(text)
      if (Result.isSuccess(result)) assert.deepStrictEqual(parsed(Target.format(result.success)), result.success)
      else assert.isTrue(result.failure.offset >= 0 && result.failure.offset <= text.length)
    }
  })

  it("refuses a target for writing that only answers", () => {
    for (const text of ["direct:///h:1", "k8s:///orders"]) {
      const error = refused(Target.parseWritable(text))
      assert.strictEqual(error.offset, 0)
      assert.match(error.message, /a registry that can be written/)
      assert.isFalse(Target.isWritable(parsed(text)))
    }
    for (const text of ["etcd://h:1", "etcd://h:1/k", "consul://h:1", "nacos://h:1", "local:/a", "memory:"]) {
      assert.deepStrictEqual(Result.getOrThrow(Target.parseWritable(text)), parsed(text))
    }
    assert.strictEqual(refused(Target.parseWritable("local:")).offset, 6)
  })

  it("binds the host name of the service that the target itself names", () => {
    assert.strictEqual(names("k8s://shop/orders:80"), service("orders"))
    assert.strictEqual(names("etcd://h:1/orders.rpc"), service("orders.rpc"))
    assert.strictEqual(names("etcd:///h:1?key=shop/Orders.RPC"), service("orders.rpc"))
    assert.isUndefined(names("etcd:///h:1?key=or%20ders"))
    for (const text of ["direct:///h:1", "etcd://h:1", "consul://h:1", "nacos://h:1", "local:/a", "memory:"]) {
      assert.isUndefined(names(text), text)
    }
  })

  it("does not take an address for a target whose host cannot be written", () => {
    for (const host of ["1:2", "::1::", "a:b", "", "a b", "a/b"]) {
      assert.isFalse(Schema.is(Target.Target)(direct(host)), host)
    }
    assert.isTrue(Schema.is(Target.Target)(direct("::1")))
  })
})

describe("Target, from go-zero's configuration", () => {
  const Etcd = { Hosts: ["h1:1", "h2:2"], Key: "orders.rpc" }

  it("prefers Endpoints to Target and Target to Etcd", () => {
    const Endpoints = ["h1:1", "[::1]:2"]
    const Target = "k8s:///orders"
    assert.deepStrictEqual(read({ Endpoints, Target, Etcd }).target, { _tag: "Direct", addresses: at("h1:1", "::1:2") })
    assert.deepStrictEqual(read({ Target, Etcd }).target, parsed(Target))
    assert.deepStrictEqual(read({ Etcd }).target, { _tag: "EtcdKey", hosts: at("h1:1", "h2:2"), key: "orders.rpc" })
  })

  it("takes names in any case, empty values as left out, and the rest of a service's configuration as it is", () => {
    const config = {
      Name: "orders",
      ListenOn: ":80",
      Timeout: 2000,
      endpoints: [],
      TARGET: "",
      etcd: { HOSTS: ["h:1"], key: "k" }
    }
    assert.deepStrictEqual(read(config).target, { _tag: "EtcdKey", hosts: at("h:1"), key: "k" })
  })

  it("keeps the login, the files and the id of an Etcd block, and the password out of sight", () => {
    const files = { CertFile: "a.crt", CertKeyFile: "a.key", CACertFile: "ca.crt", InsecureSkipVerify: true }
    const { access, id } = read({ Etcd: { ...Etcd, ID: 7, User: "u", Pass: "secret", ...files } })
    assert.strictEqual(id, 7)
    assert.strictEqual(access?.pass && Redacted.value(access.pass), "secret")
    assert.deepInclude(access, { user: "u", certFile: "a.crt", certKeyFile: "a.key", caCertFile: "ca.crt" })
    assert.isTrue(access?.insecureSkipVerify)
    assert.notInclude(JSON.stringify(access), "secret")
    assert.isUndefined(read({ Endpoints: ["h:1"], Etcd: { ...Etcd, Pass: "secret" } }).access)
  })

  it.each([
    [{ Endpoints: ["h1:1", "h2:x"] }, "Endpoints[1]: expected a port from 1 to 65535\n  h2:x\n     ^"],
    [{ Endpoints: [1] }, "Endpoints[0]: expected string"],
    [{ Endpoints: "h1:1" }, "Endpoints: expected array"],
    [{ Target: "k8s://shop" }, "Target: expected '/' and a service\n  k8s://shop\n            ^"],
    [{ Etcd: { ...Etcd, Hosts: ["h1"] } }, "Etcd.Hosts[0]: expected ':' and a port\n  h1\n    ^"],
    [{ Etcd: { Hosts: ["h1:1"] } }, "Etcd.Key: expected a value"],
    [{ Etcd: { Key: "k", Hosts: [] } }, "Etcd.Hosts: expected a value"],
    [{ Etcd: { ...Etcd, ID: "seven", Pass: "secret" } }, "Etcd.Id: expected number"],
    [{ Etcd: "h1:1" }, "Etcd: expected object"],
    [{}, "expected Endpoints, Target or Etcd"],
    [undefined, "expected object"],
    ["etcd://h:1", "expected object"]
  ])("refuses %j and names the field", (config, message) => {
    assert.strictEqual(refused(Target.fromConfig(config)).message, message)
  })
})
