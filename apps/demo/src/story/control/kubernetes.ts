/**
 * A Kubernetes API server, scripted or real, that is taken away by a proxy before it and loses the EndpointSlices of
 * one Service: a random name of the story's own.
 *
 * Servers do not register themselves there. They are pods, and this is their Deployment: nobody else's slices are
 * touched, and none of these is left behind.
 */
import * as Kubernetes from "@muster/backends/Kubernetes"
import { Target } from "@muster/core"
import { Effect, Layer, Random } from "effect"
import { pod, slice } from "../../../../../packages/backends/test/fixtures/endpointSlices.ts"
import * as Kubeconfig from "../../../../../packages/backends/test/fixtures/kubeconfig.ts"
import * as Operator from "../../../../../packages/backends/test/fixtures/kubernetesOperator.ts"
import * as TcpProxy from "../../../../../packages/backends/test/fixtures/TcpProxy.ts"
import * as Fake from "../../fake.ts"
import { Trouble } from "../../Trouble.ts"
import * as Addresses from "../kubernetes/Addresses.ts"
import * as EndpointSlices from "../kubernetes/EndpointSlices.ts"
import * as Pods from "../kubernetes/Pods.ts"
import { RegistryControl } from "../RegistryControl.ts"

/** How the API server is reached: through a proxy, as the kubeconfig says otherwise. */
const proxied = Effect.fnUntraced(function* (kubeconfig: string | undefined) {
  const { file } = yield* Kubeconfig.folder
  const { hostname, port } = new URL(Kubeconfig.read(kubeconfig).clusters[0].cluster.server)
  const proxy = yield* TcpProxy.make(Number(port || 443), hostname.replaceAll(/[[\]]/g, ""))
  const text = Kubeconfig.edited(kubeconfig, ({ clusters: [{ cluster }] }) => {
    const url = new URL(cluster.server)
    url.host = proxy.address
    cluster.server = url.href.replace(/\/$/, "")
    // What the certificate is for, where the proxy's address is not it; no certificate is asked for by an IP address.
    if (hostname !== "127.0.0.1") {
      cluster["tls-server-name"] ??= /^[\d.]+$|:/.test(hostname) ? "kubernetes.default" : hostname
    }
  })
  return { proxy, kubeconfig: file("proxied", text) }
})

/** Where pods listen: on loopback, unless the API server takes no loopback address, as a real one does. */
const addresses = Effect.fnUntraced(function* (operator: Operator.Operator, service: string) {
  const trial = slice(`${service}-trial`, [pod("trial", "127.0.0.1")], { service: `${service}-trial` })
  const loopback = yield* operator.apply(trial).pipe(
    Effect.as(true),
    Effect.catchIf(
      (error) => error._tag === "Refused" && error.status === 422,
      () => Effect.succeed(false)
    )
  )
  yield* operator.remove(trial.metadata.name)
  return loopback ? yield* Addresses.loopback : yield* Addresses.reachable
})

const make = Effect.fnUntraced(
  function* (name: string, namespace: string, prefix: string, own: string | undefined) {
    const service = `${prefix}-${(yield* Random.nextIntBetween(36 ** 7, 36 ** 8)).toString(36)}`
    const operator = yield* Operator.make({ kubeconfig: own, namespace })
    const address = yield* addresses(operator, service)
    const slices = yield* EndpointSlices.make(operator, service)
    const { kubeconfig, proxy } = yield* proxied(own)

    return RegistryControl.of({
      name,
      target: Target.format(yield* target(`k8s://${namespace}/${service}:${EndpointSlices.portName}`)),
      service,
      serverTarget: "none",
      resolver: Kubernetes.layer({ kubeconfig, namespace, ports: { [service]: EndpointSlices.portName } }),
      attend: (servers) => Pods.make({ slices, servers, address }),
      outages: [
        {
          takeAway: { says: "connections to the API server are reset and refused", done: proxy.refuse },
          bringBack: { says: "the API server can be reached again", done: proxy.heal }
        }
      ],
      wipe: {
        says: `all EndpointSlices of ${service} are deleted`,
        done: Effect.mapError(slices.wipe, trouble(name))
      }
    })
  },
  (effect, name) => Effect.mapError(effect, trouble(name))
)

const target = (text: string) => Effect.fromResult(Target.parse(text))

const trouble = (name: string) => (error: { readonly message: string }) =>
  new Trouble({ message: error instanceof Trouble ? error.message : `${name}: ${error.message}` })

/** A scripted API server that goes with the story. */
export const own = Layer.effect(
  RegistryControl,
  Effect.flatMap(Fake.kubernetes(0), (kubeconfig) => make("k8s", "shop", "orders", kubeconfig))
)

/** The API server that `KUBECONFIG`, or what stands for it, names. */
export const given = (given: Extract<Target.Target, { readonly _tag: "Kubernetes" }>) =>
  Layer.effect(RegistryControl, make(Target.format(given), given.namespace, given.service, undefined))
