/**
 * The EndpointSlice controller of the story: what is known of the pods of one Service, as slices at the API server.
 *
 * One slice for each port number, as of a named port whose number differs between pods. Whatever is changed is written
 * soon, several changes together if they come at once; a slice that somebody deleted is put back within a second, and
 * what the API server did not take is written again until it does.
 */
import { Duration, Effect, Latch } from "effect"
import {
  type Conditions,
  pod as endpoint,
  slice,
  type SliceJson
} from "../../../../../packages/backends/test/fixtures/endpointSlices.ts"
import type * as Operator from "../../../../../packages/backends/test/fixtures/kubernetesOperator.ts"

/** Where a pod is, and what the kubelet says of it. */
export interface PodStatus {
  readonly host: string
  readonly port: number
  readonly conditions: Conditions
}

/** How often it is looked whether the slices are still there. */
const resync = Duration.seconds(1)

/** The pause after a call that failed, and the longest a call may take. */
const pause = Duration.millis(200)
const patience = Duration.seconds(3)

export const portName = "http"

const managedBy = { "endpointslice.kubernetes.io/managed-by": "muster-demo" }

/** The slices of these pods, by their names. */
const slicesOf = (service: string, pods: ReadonlyMap<string, PodStatus>): ReadonlyMap<string, SliceJson> =>
  new Map(
    [...Map.groupBy(pods, ([, { port }]) => port)].map(([port, members]) => {
      const endpoints = members.map(([uid, { conditions, host }]) => endpoint(uid, host, conditions))
      const ports = [{ name: portName, port, protocol: "TCP" }]
      const { metadata, ...rest } = slice(`${service}-${port}`, endpoints, { service, ports })
      const labels = { ...metadata.labels, ...managedBy }
      return [metadata.name, { ...rest, metadata: { ...metadata, labels } }] as const
    })
  )

/** A running controller, until the scope closes. */
export const make = Effect.fnUntraced(function* (operator: Operator.Operator, service: string) {
  const pods = new Map<string, PodStatus>()
  /** What the API server was told, as text by the name of the slice. */
  const told = new Map<string, string>()
  let changed = Latch.makeUnsafe()

  const write = Effect.gen(function* () {
    changed = Latch.makeUnsafe()
    const wanted = slicesOf(service, pods)
    for (const [name, object] of wanted) {
      const text = JSON.stringify(object)
      if (told.get(name) === text) continue
      yield* operator.apply(object)
      told.set(name, text)
    }
    for (const name of told.keys()) {
      if (wanted.has(name)) continue
      yield* operator.remove(name)
      told.delete(name)
    }
  }).pipe(Effect.timeout(patience))

  const look = Effect.gen(function* () {
    const there = new Set(yield* Effect.timeout(operator.names(service), patience))
    for (const name of told.keys()) if (!there.has(name)) told.delete(name)
  })

  const wait = Effect.suspend(() => Effect.timeoutOption(changed.await, resync))
  yield* Effect.andThen(wait, Effect.andThen(look, write)).pipe(
    Effect.catch(() => Effect.sleep(pause)),
    Effect.forever,
    Effect.forkScoped
  )

  return {
    /** What the kubelet says of a pod from now on. */
    put: (uid: string, status: PodStatus) =>
      Effect.sync(() => {
        if (pods.get(uid)?.conditions === status.conditions) return
        pods.set(uid, status)
        changed.openUnsafe()
      }),
    /** The pod's object is gone. */
    remove: (uid: string) =>
      Effect.sync(() => {
        pods.delete(uid)
        changed.openUnsafe()
      }),
    /** Deletes all slices of the Service behind the controller's back. */
    wipe: Effect.flatMap(operator.names(service), (names) =>
      Effect.forEach(names, operator.remove, { concurrency: "unbounded", discard: true })
    )
  }
})

export type EndpointSlices = Effect.Success<ReturnType<typeof make>>
