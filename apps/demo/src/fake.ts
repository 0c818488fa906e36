/**
 * `npm run demo -- fake k8s|consul|nacos`: a scripted server that speaks the real wire, for everything else of this
 * program to be tried against where there is no real one. Loopback only; it forgets everything when it is told to stop.
 *
 * The servers are those of the tests of the back ends, where they live.
 */
import { Target } from "@muster/core"
import { Console, Effect, type Scope } from "effect"
import { createServer } from "node:net"
import type * as Consul from "../../../packages/backends/test/fixtures/consulAgent.ts"
import type * as Nacos from "../../../packages/backends/test/fixtures/nacosServer.ts"
import { Trouble } from "./Trouble.ts"

const host = "127.0.0.1"

export interface Options {
  readonly kind: "k8s" | "consul" | "nacos"
  /** 0 takes a free one. */
  readonly port: number
}

/** What a person has to know of a running server. */
interface Fake {
  readonly target: string
  /** The file that says how a Kubernetes API server is reached. */
  readonly kubeconfig: string | undefined
}

const program = Effect.promise(() => import("../../../packages/backends/test/fixtures/Program.ts"))

/** A Consul agent, and where it listens. */
export const consul = Effect.fnUntraced(function* (port: number) {
  const { make } = yield* program
  const { ports } = yield* make<Consul.Options, Consul.Faults>("./consulAgent.ts", { ports: [port] })
  return { host, port: ports[0] ?? 0 }
})

/** A Nacos server, and where it listens; gRPC is 1000 above. */
export const nacos = Effect.fnUntraced(function* (port: number) {
  const { make } = yield* program
  const { ports } = yield* make<Nacos.Options, Nacos.Faults>("./nacosServer.ts", { ports: [port] })
  return { host, port: ports[0] ?? 0 }
})

/** A Kubernetes API server, and the file that says how it is reached. */
export const kubernetes = Effect.fnUntraced(function* (port: number) {
  const { listening } = yield* Effect.promise(
    () => import("../../../packages/backends/test/fixtures/KubernetesServer.ts")
  )
  return (yield* listening(port)).kubeconfig()
})

const start = Effect.fnUntraced(function* ({ kind, port }: Options): Effect.fn.Return<Fake, Trouble, Scope.Scope> {
  switch (kind) {
    case "k8s":
      return { target: "k8s://shop/orders:http", kubeconfig: yield* kubernetes(port) }
    case "consul":
      return { target: `consul://${Target.formatAddress(yield* consul(port))}`, kubeconfig: undefined }
    case "nacos":
      return { target: `nacos://${Target.formatAddress(yield* nacos(port))}`, kubeconfig: undefined }
  }
})

/** Runs one server until it is told to stop. */
export const run = Effect.fn("fake")(function* (options: Options) {
  const { kind, port } = options
  const wanted = port === 0 ? [] : kind === "nacos" ? [port, port + 1000] : [port]
  yield* Effect.forEach(wanted, free, { discard: true })
  const { kubeconfig, target } = yield* start(options)
  yield* Console.log(`target: ${target}`)
  if (kubeconfig !== undefined) yield* Console.log(`kubeconfig: ${kubeconfig}`)
  const environment = kubeconfig === undefined ? "" : `KUBECONFIG=${kubeconfig} `
  yield* Console.log(`${environment}npm run demo -- --registry ${target}`)
  return yield* Effect.never
}, Effect.scoped)

/** Fails where nobody can listen, or somebody does already. */
export const free = (port: number) =>
  Effect.callback<void, Trouble>((resume) => {
    const fail = (why: string) => resume(Effect.fail(new Trouble({ message: `${host}:${port} ${why}` })))
    if (port > 65_535) return fail("is no port: gRPC is 1000 above the port for HTTP")
    const server = createServer()
    server.once("error", ({ code, message }: NodeJS.ErrnoException) =>
      fail(code === "EADDRINUSE" ? "is taken" : `cannot be listened on: ${message}`)
    )
    server.listen(port, host, () => server.close(() => resume(Effect.void)))
  })
