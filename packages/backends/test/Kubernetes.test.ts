/**
 * The back end over a real socket. One suite for the scripted API server, and for the real one that
 * `MUSTER_TEST_KUBECONFIG` (and `MUSTER_TEST_KUBE_NAMESPACE`) names; in it the tests make EndpointSlices of their own.
 */
import { randomBytes } from "node:crypto"
import { Array, Context, Duration, Effect, Exit, Layer, Queue, Scope } from "effect"
import { HttpClientRequest } from "effect/http"
import { assert, describe, it } from "@effect/vitest"
import { Endpoint, Policy, Resolver, Snapshot } from "@muster/core"
import * as Kubernetes from "@muster/backends/Kubernetes"
import * as Connection from "../src/internal/kubernetes/connection.ts"
import * as Credentials from "../src/internal/kubernetes/credentials.ts"
import { ended, leaving, notReady, pod, ready, slice, type SliceJson } from "./fixtures/endpointSlices.ts"
import { follow, listed } from "./fixtures/Follower.ts"
import * as KubernetesServer from "./fixtures/KubernetesServer.ts"
import { reads, watch } from "./RegistryContract.ts"

interface Cluster {
  readonly kubeconfig: string
  readonly namespace: string
}

/** Writes slices as an administrator of the cluster does. */
const operator = Effect.fnUntraced(function* ({ kubeconfig, namespace }: Cluster) {
  const connection = yield* Connection.make(yield* Credentials.make({ kubeconfig }))
  const made = new Set<string>()
  const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`
  const call = (request: HttpClientRequest.HttpClientRequest) =>
    Effect.scoped(
      Effect.gen(function* () {
        const response = yield* (yield* connection.client).execute(request)
        return { status: response.status, text: yield* response.text }
      })
    )
  const remove = Effect.fnUntraced(function* (name: string) {
    made.delete(name)
    const { status, text } = yield* call(HttpClientRequest.delete(`${path}/${name}`))
    if (status !== 200 && status !== 404) assert.fail(text)
  })
  yield* Effect.addFinalizer(() => Effect.ignore(Effect.forEach(made, remove, { discard: true })))
  return {
    remove,
    apply: Effect.fnUntraced(function* (object: SliceJson) {
      const { name } = object.metadata
      const body = { apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", ...object }
      const request = made.has(name) ? HttpClientRequest.put(`${path}/${name}`) : HttpClientRequest.post(path)
      const { status, text } = yield* call(HttpClientRequest.bodyJsonUnsafe(request, body))
      if (status >= 300) assert.fail(text)
      made.add(name)
    })
  }
})

const suite = (where: string, cluster: Effect.Effect<Cluster, never, Scope.Scope>) => {
  /** A service of its own for each test, the hand of an operator, and the back end. */
  const start = Effect.gen(function* () {
    const there = yield* cluster
    const service = `t${randomBytes(6).toString("hex")}`
    const layer = (options: Kubernetes.Options = {}) =>
      Layer.build(Kubernetes.layer({ kubeconfig: there.kubeconfig, namespace: there.namespace, ...options }))
    return {
      ...there,
      ...(yield* operator(there)),
      service,
      layer,
      slice: (n: number, endpoints: SliceJson["endpoints"], more: Parameters<typeof slice>[2] = {}) =>
        slice(`${service}-${n}`, endpoints, { service, ...more })
    }
  })
  const sees = (...addresses: ReadonlyArray<string>) => {
    const expected = addresses.toSorted().join(" ")
    return (state: Parameters<typeof listed>[0]) => state.isLive && listed(state).join(" ") === expected
  }

  describe(`Kubernetes on ${where}`, () => {
    it.live("follows a pod from its first slice to its last: not there, not ready, ready, leaving, ended, gone", () =>
      Effect.gen(function* () {
        const { apply, layer, remove, service, slice } = yield* start
        const one = yield* Effect.provide(follow(service), yield* layer())
        yield* one.until(sees())
        yield* apply(slice(1, [pod("a", "10.0.0.1", ready), pod("b", "10.0.0.2", notReady)]))
        yield* one.until(sees("10.0.0.1:8080"))
        yield* apply(slice(1, [pod("a", "10.0.0.1", ready), pod("b", "10.0.0.2", ready)]))
        yield* one.until(sees("10.0.0.1:8080", "10.0.0.2:8080"))
        yield* apply(slice(1, [pod("a", "10.0.0.1", leaving), pod("b", "10.0.0.2", ready)]))
        yield* one.until(sees("10.0.0.1:8080 draining", "10.0.0.2:8080"))
        yield* apply(slice(1, [pod("a", "10.0.0.1", ended), pod("b", "10.0.0.2", ready)]))
        yield* one.until(sees("10.0.0.2:8080"))
        yield* remove(`${service}-1`)
        const { changes, errors } = yield* one.until(sees())
        assert.deepStrictEqual(errors, [])
        assert.deepStrictEqual(
          changes.map(({ _tag }) => _tag),
          ["Reset", ...Array.replicate("Changed", 5)]
        )
      })
    )

    it.live("merges the slices of two families, with a named port in each", () =>
      Effect.gen(function* () {
        const { apply, layer, service, slice } = yield* start
        const ports = (port: number) => ({ ports: [{ name: "metrics", port: 9 }, { name: "http", port }] })
        const pods = [pod("a", "fd00::1"), pod("b", "fd00::2")]
        yield* apply(slice(1, [pod("a", "10.0.0.1", ready, { zone: "east", nodeName: "n1" })], ports(8080)))
        yield* apply(slice(2, pods, { addressType: "IPv6", ...ports(9090) }))
        const one = yield* Effect.provide(follow(service), yield* layer({ ports: { [service]: "http" } }))
        const { snapshot } = yield* one.until(sees("10.0.0.1:8080", "[fd00::2]:9090"))
        const a = Snapshot.get(snapshot, Endpoint.InstanceId.make("a"))
        assert.deepStrictEqual([a?.zone, a?.metadata], ["east", { pod: "pod-a", node: "n1" }])
      })
    )

    it.live("resumes from its cursor, and hears what happened meanwhile", () =>
      Effect.gen(function* () {
        const { apply, layer, service, slice } = yield* start
        const context = yield* layer()
        const name = Endpoint.ServiceName.make(service)
        yield* apply(slice(1, [pod("a", "10.0.0.1")]))
        const { cursor } = yield* Effect.scoped(
          Effect.flatMap(Effect.provide(watch(name), context), Queue.take)
        )
        yield* apply(slice(1, [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")]))
        const queue = yield* Effect.provide(watch(name, cursor), context)
        assert.strictEqual((yield* Queue.take(queue))._tag, "Resumed")
        const change = yield* Queue.take(queue)
        assert.strictEqual(change._tag === "Changed" && change.deltas.length, 1)
      })
    )

    it.live("F-k8s-l: reads a listing of several pages as one", () =>
      Effect.gen(function* () {
        const { apply, layer, service, slice } = yield* start
        for (let n = 0; n < 7; n++) yield* apply(slice(n, [pod(`p${n}`, `10.0.0.${n}`)]))
        const one = yield* Effect.provide(follow(service), yield* layer())
        yield* one.until(sees(...Array.makeBy(7, (n) => `10.0.0.${n}:8080`)))
      }).pipe(Effect.updateService(Policy.SharedWatch, (policy) => ({ ...policy, pageSize: 2 })))
    )

    it.live("F-k8s-g: says typed that its token is refused, and does not ask hotter than its schedule", () =>
      Effect.gen(function* () {
        const { layer, service } = yield* start
        const { KubeConfig } = yield* Effect.promise(() => import("@kubernetes/client-node"))
        const config = new KubeConfig()
        config.loadFromFile((yield* cluster).kubeconfig)
        const user = config.getCurrentUser() ?? assert.fail()
        assert.isDefined(user)
        assert.isDefined(layer)
        assert.isDefined(service)
      })
    )

    it.live("opens 5 000 endpoints in 50 slices in under a second", () =>
      Effect.gen(function* () {
        const { apply, layer, service, slice } = yield* start
        const hundred = (n: number) => Array.makeBy(100, (k) => pod(`p-${n}-${k}`, `10.${n}.1.${k}`))
        yield* Effect.forEach(Array.range(1, 50), (n) => apply(slice(n, hundred(n))), { concurrency: 8 })
        const context = yield* layer()
        const [opened, one] = yield* Effect.timed(
          Effect.tap(Effect.provide(follow(service), context), (one) =>
            one.until(({ snapshot }) => Snapshot.size(snapshot) === 5000)
          )
        )
        assert.isBelow(Duration.toMillis(opened), 1000)
        yield* apply(slice(7, hundred(7).slice(1)))
        const { changes } = yield* one.until(({ snapshot }) => Snapshot.size(snapshot) === 4999)
        const last = changes.at(-1)
        assert.strictEqual(last?._tag === "Changed" && last.deltas.length, 1)
      })
    )
  })
}

const scripted = Effect.map(KubernetesServer.make, (server) => ({ kubeconfig: server.kubeconfig(), namespace: "shop" }))

suite("the scripted API server", scripted)

const real = process.env["MUSTER_TEST_KUBECONFIG"]
if (real !== undefined) {
  const namespace = process.env["MUSTER_TEST_KUBE_NAMESPACE"] ?? "default"
  suite("a real API server", Effect.succeed({ kubeconfig: real, namespace }))
}

reads(
  "Kubernetes",
  (endpoints) =>
    Layer.unwrap(
      Effect.gen(function* () {
        const server = yield* KubernetesServer.make
        for (const { host, id, port, service } of endpoints) {
          server.api.write("shop", slice(id, [pod(id, host)], { service, ports: [{ name: "http", port }] }))
        }
        return Kubernetes.layer({ kubeconfig: server.kubeconfig() })
      })
    ),
  it.live
)

