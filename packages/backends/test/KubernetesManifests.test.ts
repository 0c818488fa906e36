/**
 * What deploy/kubernetes says, held against itself and against the back end: whoever applies it gets what the docs promise.
 */
import { readFileSync } from "node:fs"
import {
  loadAllYaml,
  type RbacV1Subject,
  type V1Deployment,
  type V1Role,
  type V1RoleBinding,
  type V1Service
} from "@kubernetes/client-node"
import { Effect, Layer, Result } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { Endpoint, Target } from "@muster/core"
import * as Kubernetes from "@muster/backends/Kubernetes"
import { pod, slice } from "./fixtures/endpointSlices.ts"
import { follow } from "./fixtures/Follower.ts"
import type * as KubernetesApi from "./fixtures/KubernetesApi.ts"
import * as KubernetesServer from "./fixtures/KubernetesServer.ts"

const folder = new URL("../../../deploy/kubernetes/", import.meta.url)

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
}

/** The objects of a file by kind. */
const objects = (file: string) => {
  const all: ReadonlyArray<Manifest> = loadAllYaml(readFileSync(new URL(file, folder), "utf8"))
  return Object.fromEntries<unknown>(all.map((object) => [object.kind, object]))
}

const access = objects("access.yaml") as { Role: V1Role; RoleBinding: V1RoleBinding; ServiceAccount: Manifest }
const server = objects("server.yaml") as { Deployment: V1Deployment; Service: V1Service }
const client = objects("client.yaml") as { Deployment: V1Deployment }

const podOf = ({ spec }: V1Deployment) => spec?.template.spec ?? assert.fail()
const containerOf = (deployment: V1Deployment) => podOf(deployment).containers[0] ?? assert.fail()

describe("Kubernetes, manifests", () => {
  it("allow the client to read EndpointSlices, and nothing more", () => {
    const rule = { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["get", "list", "watch"] }
    assert.deepStrictEqual(
      access.Role.rules?.map((one) => ({ ...one })),
      [rule]
    )
    const { roleRef, subjects } = access.RoleBinding
    assert.deepStrictEqual([roleRef.kind, roleRef.name], ["Role", access.Role.metadata?.name])
    const { name } = access.ServiceAccount.metadata
    assert.deepStrictEqual(
      subjects?.map((subject: RbacV1Subject) => [subject.kind, subject.name]),
      [["ServiceAccount", name]]
    )
    assert.strictEqual(podOf(client.Deployment).serviceAccountName, name)
    assert.isFalse(podOf(server.Deployment).automountServiceAccountToken)
  })

  it("name the same service and port in the client's target, the Service and the server", () => {
    const { args = [] } = containerOf(client.Deployment)
    const target = Result.getOrThrow(Target.parse(args[args.indexOf("--registry") + 1] ?? ""))
    const { Service, Deployment } = server
    const port = Service.spec?.ports?.[0]
    assert.deepStrictEqual(target, {
      _tag: "Kubernetes",
      namespace: "shop",
      service: Endpoint.ServiceName.make(Service.metadata?.name ?? ""),
      port: port?.name ?? ""
    })
    const { args: serverArgs = [], ports, readinessProbe } = containerOf(Deployment)
    assert.strictEqual(ports?.[0]?.name, port?.targetPort)
    assert.strictEqual(serverArgs[serverArgs.indexOf("--port") + 1], String(ports?.[0]?.containerPort))
    assert.strictEqual(readinessProbe?.httpGet?.port, ports?.[0]?.name)
    assert.deepStrictEqual(Service.spec?.selector, Deployment.spec?.template.metadata?.labels)
    assert.deepStrictEqual(Deployment.spec?.selector.matchLabels, Deployment.spec?.template.metadata?.labels)
  })

  it("give a pod the time to be seen leaving and then to answer what it has begun", () => {
    const { lifecycle } = containerOf(server.Deployment)
    const drain = lifecycle?.preStop?.sleep?.seconds ?? 0
    assert.isAtLeast(drain, 10)
    assert.isAtLeast(podOf(server.Deployment).terminationGracePeriodSeconds ?? 0, drain + 5)
  })

  it("run nothing as root, and nothing that can become it", () => {
    for (const deployment of [server.Deployment, client.Deployment]) {
      assert.isTrue(podOf(deployment).securityContext?.runAsNonRoot)
      const { allowPrivilegeEscalation, readOnlyRootFilesystem } = containerOf(deployment).securityContext ?? {}
      assert.deepStrictEqual([allowPrivilegeEscalation, readOnlyRootFilesystem], [false, true])
    }
    assert.match(readFileSync(new URL("../../Dockerfile", folder), "utf8"), /^USER [1-9]\d*$/m)
  })

  it.live("allow exactly what the back end asks for", () =>
    Effect.gen(function* () {
      const { api, kubeconfig } = yield* KubernetesServer.make
      const verbs = access.Role.rules?.[0]?.verbs ?? []
      api.roles.set("client", new Set(verbs as ReadonlyArray<KubernetesApi.Verb>))
      api.write("shop", slice("orders-1", [pod("a", "10.0.0.1")]))
      const one = yield* Effect.provide(
        follow("orders"),
        yield* Layer.build(Kubernetes.layer({ kubeconfig: kubeconfig() }))
      )
      yield* one.until(({ snapshot }) => snapshot.version === 1)
      api.write("shop", slice("orders-1", []))
      const { errors } = yield* one.until(({ snapshot }) => snapshot.version === 2)
      assert.deepStrictEqual(errors, [])
    })
  )
})
