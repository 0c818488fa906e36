/**
 * Registrants that come and go: each is a listening port and a Registrar with a connection to etcd of its own.
 *
 * It knows which ids were ever registered and which should be listed now; that is what the watchers are judged by.
 */
import { Clock, Context, Duration, Effect, Exit, Layer, Scope } from "effect"
import * as Etcd from "@muster/backends/Etcd"
import { Endpoint, Policy } from "@muster/core"
import { Registrar } from "@muster/runtime"
import { createServer } from "node:net"

export const service = "soak"

export interface Registrant {
  readonly id: Endpoint.InstanceId
  readonly address: string
  readonly leave: Effect.Effect<void>
}

const listen = Effect.acquireRelease(
  Effect.callback<{ readonly port: number; readonly close: () => void }>((resume) => {
    const server = createServer((socket) => socket.destroy())
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      resume(Effect.succeed({ port, close: () => server.close() }))
    })
  }),
  ({ close }) => Effect.sync(close)
)

/** Registers under a new id; it leaves by draining, as a server does that is told to stop. */
const join = Effect.fnUntraced(function* (id: Endpoint.InstanceId, hosts: ReadonlyArray<string>, parent: Scope.Scope) {
  const scope = yield* Scope.fork(parent)
  const { port } = yield* Scope.provide(listen, scope)
  const layer = Registrar.serve(Layer.empty, { service, id, advertise: { host: "127.0.0.1", port } }).pipe(
    Layer.provide(Etcd.layer({ hosts, prefix: "muster" })),
    Layer.provide(Layer.succeed(Policy.Drain, { wait: Duration.millis(200), withdrawal: Duration.seconds(2) }))
  )
  const context = yield* Layer.buildWithScope(layer, scope)
  const { endpoint } = Context.get(context, Registrar.Registrar)
  return { id, address: endpoint.address, leave: Scope.close(scope, Exit.void) }
})

/** Starts `size` registrants and replaces one every now and then until `settle`. */
export const make = Effect.fnUntraced(function* (size: number, hosts: ReadonlyArray<string>) {
  const scope = yield* Effect.scope
  const present = new Map<Endpoint.InstanceId, Registrant>()
  const ever = new Set<Endpoint.InstanceId>()
  const left = new Map<Endpoint.InstanceId, number>()
  let born = 0
  const bury = (id: Endpoint.InstanceId) =>
    Effect.map(Clock.monotonicTimeNanos, (nanos) => left.set(id, Number(nanos / 1_000_000n)))

  const add = Effect.gen(function* () {
    const id = Endpoint.InstanceId.make(`r${born++}`)
    ever.add(id)
    present.set(id, yield* join(id, hosts, scope))
  })
  const replace = Effect.fnUntraced(function* (which: number) {
    const leaving = [...present.values()][which % present.size]
    if (leaving === undefined) return
    present.delete(leaving.id)
    yield* Effect.all([Effect.andThen(leaving.leave, bury(leaving.id)), add], { concurrency: 2, discard: true })
  })

  yield* Effect.forEach(Array.from({ length: size }), () => add, { concurrency: "unbounded", discard: true })
  return {
    /** Every id that was ever registered. */
    ever,
    /** Who has left, and when: milliseconds on the monotonic clock. */
    left,
    /** Who runs and does not drain, by id. */
    present: (): ReadonlyMap<Endpoint.InstanceId, Registrant> => present,
    /** The `which`-th leaves, another comes. */
    replace
  }
})

export type Fleet = Effect.Success<ReturnType<typeof make>>
