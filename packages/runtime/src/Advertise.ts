/**
 * Under which address a server is registered: one that clients can reach, or an error that says what to set.
 *
 * What was set wins, then the address that the server is bound to. A server bound to all interfaces is registered
 * under `POD_IP`, else under the one address of the machine that is neither loopback nor link-local, IPv4 before IPv6.
 * Nothing is guessed: no address or several of them is a typed error that lists what was found.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Os from "node:os"

/**
 * What to register instead of the address that the server is bound to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Advertise {
  /** A host name or an IP address without brackets. */
  readonly host?: string | undefined
  readonly port?: number | undefined
}

/**
 * A host and a port that clients can dial.
 *
 * @category models
 * @since 0.1.0
 */
export interface Address {
  readonly host: string
  readonly port: number
}

/**
 * An address of this machine and the network interface that has it.
 *
 * @category models
 * @since 0.1.0
 */
export interface MachineAddress {
  readonly interface: string
  readonly address: string
}

/**
 * No address can be registered, or several could: `candidates` lists them as `interface address`.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoAddress extends Schema.TaggedError<NoAddress>()("NoAddress", {
  message: Schema.String,
  candidates: Schema.Array(Schema.String),
  cause: Schema.optionalKey(Schema.Defect())
}) {}

/**
 * The addresses of this machine, as its operating system lists them.
 *
 * @category services
 * @since 0.1.0
 */
export const MachineAddresses = Context.Reference<Effect.Effect<ReadonlyArray<MachineAddress>, NoAddress>>(
  "@muster/runtime/Advertise/MachineAddresses",
  {
    defaultValue: () =>
      Effect.try({
        try: () =>
          Object.entries(Os.networkInterfaces()).flatMap(([name, addresses = []]) =>
            addresses.map(({ address }) => ({ interface: name, address }))
          ),
        catch: (cause) => noAddress("the network interfaces of this machine cannot be listed", [], cause)
      })
  }
)

/**
 * The address to register for a server that is bound to `bound`; `undefined` when no server is known.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resolve = Effect.fnUntraced(function* (
  advertise: Advertise | undefined,
  bound: NetAddress.SocketAddress | undefined
): Effect.fn.Return<Address, NoAddress> {
  const { host, port } = advertise ?? {}
  if (host !== undefined && port !== undefined) return { host, port }
  if (bound === undefined) {
    return yield* noAddress(
      "no HttpServer is in reach to take the address from (provide it to what Registrar.serve gives)",
      []
    )
  }
  if (NetAddress.isUnixPathAddress(bound)) {
    return yield* noAddress(`the server is bound to the path ${bound.path}, which no other machine can dial`, [])
  }
  return { host: host ?? (yield* reachableHost(bound)), port: port ?? bound.port }
})

const reachableHost = Effect.fnUntraced(function* (bound: NetAddress.InetAddress) {
  const { address } = NetAddress.toCanonical(bound)
  if (!NetAddress.isUnspecified(address)) return NetAddress.formatHost(NetAddress.toCanonical(bound))
  const pod = yield* podIp
  if (pod === undefined) return yield* machineHost(address)
  if (!answersAt(address, pod)) {
    return yield* noAddress(`POD_IP is ${NetAddress.formatIp(pod)}, but the server listens on IPv4 only`, [])
  }
  return NetAddress.formatIp(pod)
})

/** The address that Kubernetes' downward API puts into the environment, where the manifest asks for it. */
const podIp = Effect.gen(function* () {
  const text = Option.getOrElse(yield* Config.option(Config.String("POD_IP")), () => "")
  return text === "" ? undefined : yield* Effect.fromResult(NetAddress.ipFromString(text))
}).pipe(Effect.mapError((cause) => noAddress("POD_IP cannot be read as an IP address", [], cause)))

const machineHost = Effect.fnUntraced(function* (bound: NetAddress.IpAddress) {
  const found = (yield* yield* MachineAddresses).flatMap((one) => {
    const ip = Result.getOrUndefined(NetAddress.ipFromString(one.address))
    return ip !== undefined && isReachable(ip) && answersAt(bound, ip) ? [{ ...one, ip }] : []
  })
  const ipv4 = found.filter(({ ip }) => NetAddress.isIpv4Address(ip))
  const candidates = ipv4.length > 0 ? ipv4 : found
  const hosts = new Set(candidates.map(({ ip }) => NetAddress.formatIp(ip)))
  const [host] = hosts
  if (host !== undefined && hosts.size === 1) return host
  const why =
    host === undefined
      ? "the server is bound to all interfaces, but none of them has an address that another machine could reach"
      : "the server is bound to all interfaces, and more than one address could be meant"
  return yield* noAddress(why, [...new Set(candidates.map((one) => `${one.interface} ${NetAddress.formatIp(one.ip)}`))])
})

const isReachable = (ip: NetAddress.IpAddress) => !NetAddress.isLoopback(ip) && !NetAddress.isLinkLocal(ip)

/** Whether a server bound to all interfaces of `any`'s family answers at `ip`: `::` serves IPv4 too, `0.0.0.0` no IPv6. */
const answersAt = (any: NetAddress.IpAddress, ip: NetAddress.IpAddress) =>
  NetAddress.isIpv6Address(any) || NetAddress.isIpv4Address(ip)

const noAddress = (why: string, candidates: ReadonlyArray<string>, cause?: unknown) => {
  const found = candidates.length > 0 ? `: ${candidates.join(", ")}` : ""
  const message = `${why}${found}; set advertise.host and advertise.port, or bind the server to one address`
  return new NoAddress({ message, candidates, ...(cause === undefined ? {} : { cause }) })
}
