// The story on Kubernetes, Consul and Nacos: on scripted ones that run apart from it, and on real ones where the
// environment names them. It must prove there what it proves elsewhere, and touch nothing that is not its own.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Operator from "../../../packages/backends/test/fixtures/kubernetesOperator.ts"
import { pod, slice } from "../../../packages/backends/test/fixtures/endpointSlices.ts"
import { acts } from "../src/story/Acts.ts"
import { run, start } from "./fixtures/program.ts"
import { reportOf } from "./fixtures/report.ts"

const timeout = 180_000

/** A scripted registry as a program of its own, its target, and the environment in which that is reached. */
const fake = Effect.fnUntraced(function* (kind: "k8s" | "consul" | "nacos") {
  const program = yield* start(["fake", kind])
  const [, target = ""] = yield* program.says(/^target: (\S+)$/m)
  if (kind !== "k8s") return { target, kubeconfig: "" }
  const [, kubeconfig = ""] = yield* program.says(/^kubeconfig: (\S+)$/m)
  return { target, kubeconfig }
})

/** Tells some acts of the story, or all, and answers with the evidence that every promise held. */
const proves = Effect.fnUntraced(function* (
  registry: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
) {
  const { code, stdout, stderr } = yield* run(["--registry", registry, "--json", ...args], env)
  assert.strictEqual(code, 0, stderr)
  const report = yield* reportOf(stdout)
  assert.isTrue(report.ok, stderr)
  return { report, stderr }
})

const short = ["--acts", "kill,rolling,outage,wiped", "--pace", "0.3", "--rate", "50"]

/** What became of the registry is told, and each way of being away has frozen the client. */
const wasTakenAway = (stderr: string, frozen: number, times: number, ...deeds: ReadonlyArray<RegExp>) => {
  for (const deed of deeds) assert.match(stderr, deed)
  assert.match(stderr, /vanished at once: not believed/)
  assert.match(stderr, /listed again/)
  assert.isAtLeast(frozen, times, stderr)
}

describe("the story on a registry that runs apart from it", () => {
  it.live(
    "F-k8s-a, F-k8s-c, F-s3, F-s8: Kubernetes is cut off and loses the slices, and no other slice is touched",
    () =>
      Effect.gen(function* () {
        const { target, kubeconfig } = yield* fake("k8s")
        const operator = yield* Operator.make({ kubeconfig, namespace: "shop" })
        yield* operator.apply(slice("orders-somebody", [pod("other", "10.0.0.1")]))
        yield* operator.apply(slice("bills-somebody", [pod("bill", "10.0.0.2")], { service: "bills" }))
        const { report, stderr } = yield* proves(target, short, { KUBECONFIG: kubeconfig })
        assert.strictEqual(report.registry, target)
        wasTakenAway(stderr, report.frozen.times, 1, /API server are reset and refused/, /EndpointSlices of orders-\w+/)
        assert.match(stderr, /is draining: no new requests/)
        assert.deepStrictEqual(yield* operator.names("orders"), ["orders-somebody"])
        assert.deepStrictEqual(yield* operator.all, ["bills-somebody", "orders-somebody"])
      }).pipe(Effect.scoped),
    { timeout }
  )

  it.live.each([
    { kind: "consul", id: "F-consul-a, F-consul-a2, F-consul-c", deeds: [/Consul are reset/, /Consul swallow/] },
    { kind: "nacos", id: "F-nacos-a, F-nacos-a2, F-nacos-c", deeds: [/Nacos are reset/, /Nacos swallow/] }
  ] as const)(
    "$id, F-s3, F-s8: $kind is cut off, falls silent and forgets the servers, and nobody else is forgotten",
    ({ kind, deeds }) =>
      Effect.gen(function* () {
        const { target } = yield* fake(kind)
        const bystander = yield* start(["server", "--registry", target, "--id", "bystander"])
        const client = yield* start(["client", "--registry", target])
        yield* client.says(/bystander 100 %/)
        const { report, stderr } = yield* proves(target, short)
        assert.strictEqual(report.registry.replace(/\/$/, ""), target.replace(/\/$/, ""))
        wasTakenAway(stderr, report.frozen.times, 2, ...deeds)
        yield* client.signal("SIGTERM")
        const { stdout } = yield* client.ended
        assert.notMatch(stdout, /gone|vanished|left|frozen/)
        assert.match(stdout, / answered, 0 failed\n$/)
        yield* bystander.signal("SIGTERM")
        yield* bystander.ended
      }).pipe(Effect.scoped),
    { timeout }
  )

  it.live.each(["k8s", "consul", "nacos"])("starts a scripted %s itself where none is named", (kind) =>
    Effect.gen(function* () {
      const { report } = yield* proves(kind, ["--acts", "steady", "--pace", "0.2"])
      assert.strictEqual(report.registry, kind)
    })
  )
})

/** The target of a real registry that the environment names, and what the story needs to reach it. */
const real: ReadonlyArray<{ readonly target: string; readonly env: Readonly<Record<string, string>> }> = [
  ...named("MUSTER_TEST_CONSUL").map((address) => ({ target: `consul://${address}`, env: {} })),
  ...named("MUSTER_TEST_NACOS").map((address) => ({ target: `nacos://${address}`, env: {} })),
  ...named("MUSTER_TEST_KUBECONFIG").map((file) => ({
    target: `k8s://${process.env["MUSTER_TEST_KUBE_NAMESPACE"] ?? "default"}/orders`,
    env: { KUBECONFIG: file }
  }))
]

function named(variable: string): ReadonlyArray<string> {
  const value = process.env[variable]
  return value === undefined || value === "" ? [] : [value]
}

for (const { env, target } of real) {
  describe(`the story on ${target}`, () => {
    it.live(
      "is told to its end, and every promise holds",
      () =>
        Effect.gen(function* () {
          const { report } = yield* proves(target, [], env)
          assert.deepStrictEqual(
            report.phases.map(({ name }) => name),
            acts.map(({ name }) => name)
          )
          for (const { name, requests } of report.phases) assert.isAtLeast(requests, 200, name)
        }),
      { timeout }
    )
  })
}
