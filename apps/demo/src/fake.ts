/**
 * `npm run demo -- fake k8s|consul|nacos`: a scripted server that speaks the real wire, for everything else of this
 * program to be tried against where there is no real one. Loopback only; it forgets everything when it is told to stop.
 *
 * The servers are those of the tests of the back ends, where they live.
 */
import { Console, Effect } from "effect"
import { createServer } from "node:net"
import type * as Consul from "../../../packages/backends/test/fixtures/consulAgent.ts"
import type * as Nacos from "../../../packages/backends/test/fixtures/nacosServer.ts"
import { Trouble } from "./Trouble.ts"

export interface Options {
  readonly kind: "k8s" | "consul" | "nacos"
  /** 0 takes a free one. */
  readonly port: number
}

/** What a person has to know of a running server. */
export interface Fake {
  readonly target: string
  /** The file that says how a Kubernetes API server is reached. */
  readonly kubeconfig?: string
}

const consul = Effect.fnUntraced(function* (port: number) {
  const { make } = yield* Effect.promise(() => import("../../../packages/backends/test/fixtures/Program.ts"))
  const { ports } = yield* make<Consul.Options, Consul.Faults>("./consulAgent.ts", { ports: [port] })
  return { target: `consul://127.0.0.1:${ports[0]}` }
})

const nacos = Effect.fnUntraced(function* (port: number) {
  const { make } = yield* Effect.promise(() => import("../../../packages/backends/test/fixtures/Program.ts"))
  const { ports } = yield* make<Nacos.Options, Nacos.Faults>("./nacosServer.ts", { ports: [port] })
  return { target: `nacos://127.0.0.1:${ports[0]}` }
})

const kubernetes = Effect.fnUntraced(function* (port: number) {
  const { listening } = yield* Effect.promise(
    () => import("../../../packages/backends/test/fixtures/KubernetesServer.ts")
  )
  const server = yield* listening(port)
  return { target: "k8s://shop/orders:http", kubeconfig: server.kubeconfig() }
})

/** A running server of a kind, until the scope closes. */
export const start = Effect.fn("fake.start")(function* ({ kind, port }: Options) {
  // Nacos listens to gRPC 1000 above its port.
  const wanted = port === 0 ? [] : kind === "nacos" ? [port, port + 1000] : [port]
  yield* Effect.forEach(wanted, free, { discard: true })
  switch (kind) {
    case "k8s":
      return yield* kubernetes(port)
    case "consul":
      return yield* consul(port)
    case "nacos":
      return yield* nacos(port)
  }
})

/** Runs one server until it is told to stop. */
export const run = Effect.fn("fake")(function* (options: Options) {
  const { kubeconfig, target }: Fake = yield* start(options)
  yield* Console.log(`target: ${target}`)
  if (kubeconfig !== undefined) yield* Console.log(`kubeconfig: ${kubeconfig}`)
  const environment = kubeconfig === undefined ? "" : `KUBECONFIG=${kubeconfig} `
  yield* Console.log(`${environment}npm run demo -- --registry ${target}`)
  return yield* Effect.never
}, Effect.scoped)

/** Fails where somebody listens already. */
const free = (port: number) =>
  Effect.callback<void, Trouble>((resume) => {
    const server = createServer()
    server.once("error", () => resume(Effect.fail(new Trouble({ message: `127.0.0.1:${port} is taken` }))))
    server.listen(port, "127.0.0.1", () => server.close(() => resume(Effect.void)))
  })
