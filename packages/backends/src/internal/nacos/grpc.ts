/**
 * A session over gRPC: one connection, whose instances the server drops when it ends, and over which it pushes changes.
 *
 * The server knows at most one publication of a service for each connection, so several instances of one service are
 * published as a whole.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { ServiceName } from "@muster/core/Endpoint"
import type { RegistryErrorReason } from "@muster/core/RegistryError"
import * as Link from "./link.ts"
import type * as Session from "./session.ts"
import * as Wire from "./wire.ts"

/** What a session needs. */
export interface Options extends Link.Options {
  readonly wanted: Session.Wanted
}

/** Connects to a server; the connection ends with the scope. */
export const open = Effect.fnUntraced(function* (options: Options) {
  const { address, place, wanted } = options
  /** By the name of a service with its group. */
  const listeners = new Map<string, Set<(info: Wire.ServiceInfo) => void>>()
  const { ask, closed } = yield* Link.open(options, (info) =>
    listeners.get(Wire.groupedName(info))?.forEach((tell) => tell(info))
  )

  const about = (service: ServiceName) => ({
    namespace: place.namespace,
    serviceName: service,
    groupName: place.group,
    module: "naming"
  })

  /** Publications of one service, one after the other; each covers everything that is wanted when it is sent. */
  const publications = new Map<ServiceName, { readonly one: Semaphore.Semaphore; asked: number; sent: number }>()
  const publicationOf = (service: ServiceName) => {
    const known = publications.get(service)
    if (known !== undefined) return known
    const made = { one: Semaphore.makeUnsafe(1), asked: 0, sent: 0 }
    publications.set(service, made)
    return made
  }
  const publish = (service: ServiceName, last: Wire.Instance) =>
    Effect.suspend(() => {
      const publication = publicationOf(service)
      const mine = ++publication.asked
      const send = Effect.suspend(() => {
        if (publication.sent >= mine) return Effect.void
        const covered = publication.asked
        const all = [...(wanted.get(service)?.values() ?? [])].filter(({ ephemeral }) => ephemeral)
        const [only = last] = all
        const body =
          all.length > 1
            ? ask("BatchInstanceRequest", { ...about(service), type: "batchRegisterInstance", instances: all }, "w")
            : ask(
                "InstanceRequest",
                {
                  ...about(service),
                  type: all.length === 1 ? "registerInstance" : "deregisterInstance",
                  instance: only
                },
                "w"
              )
        return Effect.map(body, () => {
          publication.sent = covered
        })
      })
      return publication.one.withPermit(send)
    })

  const persist = (service: ServiceName, instance: Wire.Instance, type: string) =>
    Effect.asVoid(ask("PersistentInstanceRequest", { ...about(service), type, instance }, "w"))

  const query = (type: string, service: ServiceName, body: object) =>
    Effect.map(ask(type, { ...about(service), ...body }, "r"), ({ serviceInfo }) => serviceInfo ?? { hosts: [] })
  const list = (service: ServiceName) =>
    query("ServiceQueryRequest", service, { cluster: "", healthyOnly: false, udpPort: 0 })

  const watch = (service: ServiceName) =>
    Stream.callback<Wire.ServiceInfo, RegistryErrorReason>(
      (queue) =>
        Effect.gen(function* () {
          let newest = -1
          const tell = (info: Wire.ServiceInfo) => {
            // Pushes may overtake each other.
            const at = info.lastRefTime ?? newest
            if (at < newest) return
            newest = at
            Queue.offerUnsafe(queue, info)
          }
          const name = Wire.groupedName({ name: service, groupName: place.group })
          const hear = listeners.get(name) ?? new Set()
          yield* Effect.acquireRelease(
            Effect.sync(() => listeners.set(name, hear.add(tell))),
            () => {
              hear.delete(tell)
              if (hear.size > 0) return Effect.void
              listeners.delete(name)
              return Effect.ignore(query("SubscribeServiceRequest", service, { subscribe: false, clusters: "" }))
            }
          )
          tell(yield* query("SubscribeServiceRequest", service, { subscribe: true, clusters: "" }))
          return yield* Effect.flatMap(closed, Effect.fail)
        }),
      // Each listing is the whole: a slow reader needs the newest alone.
      { bufferSize: 1, strategy: "sliding" }
    )

  const session: Session.Session = {
    name: `gRPC ${address}`,
    put: (service, instance) =>
      instance.ephemeral ? publish(service, instance) : persist(service, instance, "registerInstance"),
    drop: (service, instance) =>
      instance.ephemeral ? publish(service, instance) : persist(service, instance, "deregisterInstance"),
    beat: () => Effect.undefined,
    list,
    watch,
    closed
  }
  return session
})
