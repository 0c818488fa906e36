/**
 * Whether a server really answers: one GET over a connection of its own, to a path that no application serves.
 *
 * Any HTTP answer counts, an error too. A listener that speaks something else (TLS, HTTP/2) answers with bytes that
 * are not HTTP, or closes; that counts as well, because more cannot be known without its certificates. A connection
 * that is only accepted does not count: the kernel does that before the program is ready.
 */
import * as Effect from "effect/Effect"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as NetAddress from "effect/net/NetAddress"
import * as Net from "node:net"

/** Completes with whether the server answered; waits for as long as the connection stays open without a word. */
export const answers = (bound: NetAddress.SocketAddress): Effect.Effect<boolean> =>
  NetAddress.isUnixPathAddress(bound)
    ? get({ path: bound.path })
    : hosts(bound)
        .map((host) => get({ host, port: bound.port }))
        .reduce((first, second) => Effect.flatMap(first, (yes) => (yes ? Effect.succeed(true) : second)))

/** Where this machine itself reaches the address. A socket on `::` may or may not serve IPv4, so both are tried. */
const hosts = (bound: NetAddress.InetAddress): ReadonlyArray<string> => {
  const { address } = bound
  if (!NetAddress.isUnspecified(address)) return [NetAddress.formatHost(bound)]
  const loopback = NetAddress.isIpv4Address(address) ? [NetAddress.ipv4Loopback] : NetAddress.loopbackAddresses
  return loopback.map(NetAddress.formatIp)
}

const path = "/.well-known/muster"

const request = `GET ${path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: muster\r\nConnection: close\r\n\r\n`

const get = (to: Net.TcpNetConnectOpts | Net.IpcNetConnectOpts) =>
  Effect.acquireUseRelease(
    Effect.sync(() => Net.connect(to)),
    (socket) =>
      Effect.callback<boolean>((resume) => {
        const answer = (yes: boolean) => () => resume(Effect.succeed(yes))
        socket.once("connect", () => socket.write(request))
        socket.once("data", answer(true)).once("end", answer(true)).on("error", answer(false))
      }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** The same application, whose server does not log that question: it would look as an error in the first line. */
export const unlogged = <A, E, R>(app: Effect.Effect<A, E, R>) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ url }) =>
    url === path ? HttpMiddleware.withLoggerDisabled(app) : app
  )
