/**
 * Connections to the API server: undici's, one TCP connection for each watch, with the CA and the certificate of the
 * moment.
 *
 * HTTP/2 is refused on purpose: watches would share one connection, and with it one fate. The kernel asks a silent
 * connection for signs of life by `Policy.Heartbeat`, so that one whose other side is gone ends soon. A changed certificate gets connections of its own; the old ones end with their last
 * request.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as RcMap from "effect/RcMap"
import * as Policy from "@muster/core/Policy"
import { Unreadable } from "@muster/core/RegistryError"
import type { Connection } from "./api.ts"
import type { Credentials, Transport } from "./credentials.ts"

/** Connections with these credentials, for as long as the scope lives. */
export const make = Effect.fnUntraced(function* (credentials: Credentials) {
  const deadline = yield* Policy.CallDeadline
  const { linger } = yield* Policy.SharedWatch
  const tcp = {
    timeout: Duration.toMillis(deadline),
    keepAlive: true,
    keepAliveInitialDelay: Duration.toMillis(yield* Policy.Heartbeat)
  }

  const dispatcher = ({ proxy, ...tls }: Transport) => {
    const requestTls = { ...tls, ...tcp }
    if (proxy === undefined) {
      return NodeHttpClient.makeDispatcherOptions({ allowH2: false, connect: { ...requestTls, allowH2: false } })
    }
    return Effect.acquireRelease(
      Effect.flatMap(
        Effect.promise(() => import("@effect/platform-node/Undici")),
        (undici) =>
          Effect.try({
            try: () =>
              proxy.startsWith("socks")
                ? new undici.Socks5ProxyAgent(proxy, { requestTls, allowH2: false })
                : new undici.ProxyAgent({ uri: proxy, requestTls, allowH2: false }),
            catch: noProxy
          })
      ),
      (agent) => Effect.promise(() => agent.destroy())
    )
  }

  const clients = yield* RcMap.make({
    lookup: (transport: Transport) =>
      Effect.flatMap(dispatcher(transport), (one) =>
        Effect.provideService(NodeHttpClient.makeUndici, NodeHttpClient.Dispatcher, one)
      ),
    idleTimeToLive: linger
  })

  const client = Effect.gen(function* () {
    const { headers, server, transport } = yield* credentials.access
    return HttpClient.mapRequest(yield* RcMap.get(clients, transport), (request) =>
      HttpClientRequest.setHeaders(HttpClientRequest.prependUrl(request, server), headers)
    )
  })

  const self: Connection = { client, forget: credentials.forget }
  return self
})

/** Says neither the URL nor what was made of it: both may hold a password. */
const noProxy = () =>
  new Unreadable({ message: "the proxy-url of the kubeconfig is no http://, https:// or socks5:// URL of a proxy" })
