/**
 * The read port over a connection to an API server: one shared list-and-watch for each namespace that is watched.
 *
 * A watch with a cursor resumes, or is told everything that is known; one without asks the API server for the slices of
 * its service, and the namespace is listed again where they are not what the shared watch told. What is known of a
 * namespace outlives its watch, so that instances keep their identity over a lost connection.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as RcMap from "effect/RcMap"
import * as Stream from "effect/Stream"
import type { Cursor } from "@muster/core/Change"
import type { ServiceName } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import { RegistryError, Unreadable } from "@muster/core/RegistryError"
import { Resolver } from "@muster/core/Resolver"
import * as RevisionLog from "../revisionLog.ts"
import * as Api from "./api.ts"
import * as Inventory from "./inventory.ts"
import * as NamespaceWatch from "./namespaceWatch.ts"
import * as ServiceView from "./serviceView.ts"

export interface Options {
  /** Of the services that name none. */
  readonly namespace: string
  /** By the name of the service as it is asked for. */
  readonly ports: Readonly<Record<string, number | string>>
}

/** A Resolver over this connection. */
export const make = Effect.fnUntraced(function* (connection: Api.Connection, options: Options) {
  yield* label("the namespace", options.namespace)
  const api = yield* Api.make(connection)
  const { linger, logLength } = yield* Policy.SharedWatch
  const registry = `k8s://${options.namespace}`
  const inventories = new Map<string, Inventory.Inventory>()
  const current = new Map<string, NamespaceWatch.NamespaceWatch>()
  let histories = 0
  const portOf = (name: string) => (Object.hasOwn(options.ports, name) ? options.ports[name] : undefined)

  const inventoryOf = (namespace: string) => {
    const inventory = inventories.get(namespace) ?? Inventory.make()
    inventories.set(namespace, inventory)
    return inventory
  }

  const watches = yield* RcMap.make({
    lookup: (namespace: string) =>
      Effect.tap(NamespaceWatch.make(api, inventoryOf(namespace), namespace), (shared) =>
        Effect.sync(() => current.set(namespace, shared))
      ),
    idleTimeToLive: linger
  })

  /** The shared watch of a namespace, another one if that was lost. */
  const share = Effect.fnUntraced(function* (namespace: string) {
    if (current.get(namespace)?.isLost() === true && current.delete(namespace)) {
      yield* RcMap.invalidate(watches, namespace)
    }
    return yield* RcMap.get(watches, namespace)
  })

  const viewOf = (name: ServiceName, service: string, inventory: Inventory.Inventory) =>
    Effect.acquireRelease(
      Effect.map(Clock.currentTimeMillis, (at) =>
        inventory.acquire(name, service, at, () =>
          ServiceView.make(name, portOf(name), `slices-${++histories}`, logLength)
        )
      ),
      () => Effect.sync(() => inventory.release(name, service))
    )

  const open = Effect.fn("Kubernetes.open")(function* (name: ServiceName, from: Cursor | undefined) {
    const { namespace, service } = yield* locate(name, options.namespace)
    const shared = yield* share(namespace)
    const view = yield* viewOf(name, service, inventoryOf(namespace))
    const listings = shared.listings()
    yield* shared.opened(!view.resumes(from))
    if (from === undefined && shared.listings() === listings) yield* shared.verify(service)
    const read = (position: Cursor | undefined) => Effect.map(shared.check, () => view.read(position))
    return RevisionLog.follow(from, read, view.notice)
  })

  return Resolver.of({
    registry,
    watch: (name, from) =>
      Stream.unwrap(open(name, from)).pipe(
        Stream.mapError((reason) => new RegistryError({ registry, key: name, reason }))
      )
  })
})

/** A label of DNS, as namespaces and Services are named. */
const label = (what: string, text: string | undefined): Effect.Effect<string, Unreadable> =>
  text !== undefined && /^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$/.test(text)
    ? Effect.succeed(text)
    : Effect.fail(new Unreadable({ message: `${what} is no name of Kubernetes: ${JSON.stringify(text ?? "")}` }))

/** `service`, `service.namespace`, or `service.namespace.svc` with whatever cluster domain behind it. */
const locate = Effect.fnUntraced(function* (name: ServiceName, home: string) {
  const [service, namespace = home, svc = "svc"] = name.split(".")
  if (svc !== "svc") {
    return yield* new Unreadable({ message: `no Service of Kubernetes is named so; write service.namespace.svc` })
  }
  return { service: yield* label("the service", service), namespace: yield* label("the namespace", namespace) }
})
