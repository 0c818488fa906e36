/**
 * The back end over a real socket. One suite for the scripted API server, and for the real one that
 * `MUSTER_TEST_KUBECONFIG` (and `MUSTER_TEST_KUBE_NAMESPACE`) names; in it the tests make EndpointSlices of their own.
 */
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { Array, Duration, Effect, flow, Layer, Queue, Schedule, type Scope } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { Endpoint, Policy, Snapshot } from "@muster/core"
import * as Kubernetes from "@muster/backends/Kubernetes"
import { ended, leaving, notReady, pod, ready, slice, type SliceJson } from "./fixtures/endpointSlices.ts"
import { follow, listed } from "./fixtures/Follower.ts"
import * as Kubeconfig from "./fixtures/kubeconfig.ts"
import * as Operator from "./fixtures/kubernetesOperator.ts"
import * as KubernetesServer from "./fixtures/KubernetesServer.ts"
import * as TcpProxy from "./fixtures/TcpProxy.ts"
import { reads, watch } from "./RegistryContract.ts"

interface Cluster {
  readonly kubeconfig: string
  readonly namespace: string
}

const sees = (...addresses: ReadonlyArray<string>) => {
  const expected = addresses.toSorted().join(" ")
  return (state: Parameters<typeof listed>[0]) => state.isLive && listed(state).join(" ") === expected
}

const ports = (port: number) => ({
  ports: [
    { name: "metrics", port: 9 },
    { name: "http", port }
  ]
})

const hundred = (n: number) => Array.makeBy(100, (k) => pod(`p-${n}-${k}`, `10.${n}.1.${k}`))

const suite = (where: string, cluster: Effect.Effect<Cluster, never, Scope.Scope>) => {
  /** Schedules that suit a test in live time. */
  const impatient = flow(
    Effect.provideService(Policy.CallDeadline, Duration.millis(500)),
    Effect.provideService(Policy.Rewatch, Schedule.spaced("20 millis")),
    Effect.updateService(Policy.SharedWatch, (policy) => ({
      ...policy,
      silence: Duration.millis(700),
      relist: Duration.millis(300)
    }))
  )
  /** A service of its own for each test, the hand of an operator, and the back end. */
  const start = Effect.gen(function* () {
    const there = yield* cluster
    const service = `t${randomBytes(6).toString("hex")}`
    const layer = (options: Kubernetes.Options = {}) =>
      Layer.build(Kubernetes.layer({ kubeconfig: there.kubeconfig, namespace: there.namespace, ...options }))
    return {
      ...there,
      ...(yield* Operator.make(there)),
      service,
      layer,
      slice: (n: number, endpoints: SliceJson["endpoints"], more: Parameters<typeof slice>[2] = {}) =>
        slice(`${service}-${n}`, endpoints, { service, ...more })
    }
  })
  /** Follows a service with one pod through a proxy; the certificate that it sees is still the API server's. */
  const throughProxy = Effect.gen(function* () {
    const begun = yield* start
    const { kubeconfig, namespace, service, slice } = begun
    const { hostname, port } = new URL(Kubeconfig.read(kubeconfig).clusters[0].cluster.server)
    const proxy = yield* TcpProxy.make(Number(port))
    const { file } = yield* Kubeconfig.folder
    const text = Kubeconfig.edited(kubeconfig, ({ clusters: [{ cluster }] }) => {
      cluster.server = `https://${proxy.address}`
      cluster["tls-server-name"] = hostname === "127.0.0.1" ? "localhost" : hostname
    })
    yield* begun.apply(slice(1, [pod("a", "10.0.0.1")]))
    const layer = Kubernetes.layer({ kubeconfig: file("proxied", text), namespace })
    const one = yield* Effect.provide(follow(service), yield* Layer.build(layer))
    yield* one.until(sees("10.0.0.1:8080"))
    return { ...begun, proxy, one }
  })

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
        const { cursor } = yield* Effect.scoped(Effect.flatMap(Effect.provide(watch(name), context), Queue.take))
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

    it.live("F-k8s-g: says typed that its token is refused, and goes on once it is replaced", () =>
      Effect.gen(function* () {
        const { apply, kubeconfig, namespace, service, slice } = yield* start
        const { file } = yield* Kubeconfig.folder
        const wrong = Kubeconfig.edited(kubeconfig, ({ users: [one] }) => void (one.user = { token: "wrong" }))
        const path = file("kubeconfig", wrong)
        yield* apply(slice(1, [pod("a", "10.0.0.1")]))
        const one = yield* Effect.provide(
          follow(service),
          yield* Layer.build(Kubernetes.layer({ kubeconfig: path, namespace }))
        )
        const { errors } = yield* one.until((state) => state.errors.length > 2)
        assert.isTrue(errors.every(({ reason }) => reason._tag === "Unauthenticated"))
        file("kubeconfig", readFileSync(kubeconfig, "utf8"))
        yield* one.until(sees("10.0.0.1:8080"))
      })
    )

    it.live("F-k8s-a: keeps what it knows while the API server refuses, and is up to date soon after", () =>
      Effect.gen(function* () {
        const { apply, one, proxy, slice } = yield* throughProxy
        yield* proxy.refuse
        const { errors, snapshot } = yield* one.until((state) => state.errors.length >= 5)
        assert.isTrue(errors.every(({ isTransient, reason }) => isTransient && reason._tag === "Unavailable"))
        assert.include(errors.at(-1)?.message, "ECONNREFUSED")
        assert.strictEqual(Snapshot.size(snapshot), 1)
        yield* apply(slice(1, [pod("b", "10.0.0.2")]))
        yield* proxy.heal
        yield* one.until(sees("10.0.0.2:8080"))
      }).pipe(Effect.provideService(Policy.Rewatch, Schedule.spaced("20 millis")))
    )

    it.live("F-k8s-a2: notices that the network swallows everything, keeps what it knows, and comes back", () =>
      Effect.gen(function* () {
        const { apply, one, proxy, slice } = yield* throughProxy
        for (const direction of ["toClient", "toServer"] as const) {
          const before = one.current().errors.length
          yield* proxy.blackHole(direction)
          const { errors } = yield* one.until((state) => state.errors.length >= before + 2)
          assert.isTrue(errors.slice(before).every(({ isTransient }) => isTransient))
          assert.deepStrictEqual(one.addresses(), ["10.0.0.1:8080"])
          yield* proxy.heal
          yield* one.until(sees("10.0.0.1:8080"))
        }
        yield* apply(slice(1, [pod("b", "10.0.0.2")]))
        yield* one.until(sees("10.0.0.2:8080"))
      }).pipe(impatient)
    )

    it.live("F-k8s-b: loses no change and doubles none, wherever its connection is cut", () =>
      Effect.gen(function* () {
        const { apply, one, proxy, slice } = yield* throughProxy
        const pods = (n: number) => slice(1, [pod("a", `10.0.1.${n}`), pod("b", `10.0.2.${n}`)])
        for (let n = 1; n <= 60; n++) {
          yield* proxy.cutAfter(n * 23)
          yield* apply(pods(n))
          yield* one.until(sees(`10.0.1.${n}:8080`, `10.0.2.${n}:8080`))
        }
        const { changes, snapshot } = one.current()
        const told = changes.reduce(
          (count, change) => count + (change._tag === "Changed" ? change.deltas.length : 0),
          0
        )
        assert.deepStrictEqual([told, snapshot.version], [120, 61])
        assert.isAtLeast(one.current().errors.length, 20)
      }).pipe(impatient)
    )

    it.live("opens 5 000 endpoints in 50 slices in under a second", () =>
      Effect.gen(function* () {
        const { apply, layer, service, slice } = yield* start
        yield* Effect.forEach(Array.range(1, 50), (n) => apply(slice(n, hundred(n))), { concurrency: 8 })
        const context = yield* layer()
        // Both sides are in this process: what they spend is what it takes where nothing else runs.
        const before = process.cpuUsage()
        const one = yield* Effect.provide(follow(service), context)
        yield* one.until(({ snapshot }) => Snapshot.size(snapshot) === 5000)
        const { system, user } = process.cpuUsage(before)
        assert.isBelow((system + user) / 1000, 1000)
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

const zoned = (n: number) => slice("orders-1", [pod("a", "10.0.0.1", ready, { zone: `zöne-☃-${n}` })])
const zone = ({ snapshot }: Parameters<typeof listed>[0]) => Snapshot.endpoints(snapshot)[0]?.zone

describe("Kubernetes over a wire that breaks", () => {
  it.live("hears whole events in whatever pieces they arrive", () =>
    Effect.gen(function* () {
      const server = yield* KubernetesServer.make
      server.api.faults.pieces = 1
      server.api.write("shop", zoned(0))
      const layer = Kubernetes.layer({ kubeconfig: server.kubeconfig() })
      const one = yield* Effect.provide(follow("orders"), yield* Layer.build(layer))
      for (let n = 1; n <= 3; n++) {
        yield* one.until((state) => zone(state) === `zöne-☃-${n - 1}`)
        server.api.write("shop", zoned(n))
        server.api.write("shop", slice("other", [], { service: "other" }))
      }
      yield* one.until((state) => zone(state) === "zöne-☃-3")
      assert.deepStrictEqual(one.current().errors, [])
    })
  )

  it.live("F-k8s-b: believes nothing of a listing or a watch that was not told to its end, wherever it is cut", () =>
    Effect.gen(function* () {
      const server = yield* KubernetesServer.make
      const { faults } = server.api
      server.api.write("shop", zoned(0))
      const layer = Kubernetes.layer({ kubeconfig: server.kubeconfig() })
      const one = yield* Effect.provide(follow("orders"), yield* Layer.build(layer))
      yield* one.until(({ isLive }) => isLive)
      const cutAt = Effect.fnUntraced(function* (cut: number, n: number) {
        const { errors } = one.current()
        faults.cutAfter = cut
        server.api.write("shop", zoned(n))
        yield* one.until((state) => state.errors.length > errors.length + 1)
        assert.strictEqual(zone(one.current()), `zöne-☃-${n - 1}`)
        const other = yield* Effect.provide(follow("orders"), yield* Layer.build(Layer.fresh(layer)))
        yield* other.until((state) => state.errors.length > 0)
        assert.deepStrictEqual(other.current().changes, [])
        faults.cutAfter = undefined
        yield* one.until((state) => zone(state) === `zöne-☃-${n}`)
        yield* other.until((state) => zone(state) === `zöne-☃-${n}`)
      }, Effect.scoped)
      for (let n = 1; n <= 30; n++) yield* cutAt(13 * n - 13, n)
      assert.isTrue(one.current().errors.every(({ isTransient }) => isTransient))
    }).pipe(Effect.provideService(Policy.Rewatch, Schedule.spaced("5 millis")))
  )
})

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
  it.live,
  10_000,
  // A watch and its connections outlive their last watcher for a moment.
  Effect.sleep("10 millis").pipe(
    Effect.repeat({ until: () => !process.getActiveResourcesInfo().includes("TCPSocketWrap") }),
    Effect.asVoid
  )
)
