/**
 * One client that watches the service, and swears to what it saw: no snapshot was emptied, nobody was invented, nobody
 * rose from the dead.
 */
import { Context, Effect, HashMap, Layer, References, Stream } from "effect"
import * as Etcd from "@muster/backends/Etcd"
import { DiscoveryState, Endpoint, Snapshot } from "@muster/core"
import { Discovery } from "@muster/runtime"
import type { Fleet } from "./Fleet.ts"
import { service } from "./Fleet.ts"
import type { History } from "./History.ts"

const quiet = Layer.succeed(References.MinimumLogLevel, "None")

export const make = Effect.fnUntraced(function* (
  name: string,
  hosts: ReadonlyArray<string>,
  fleet: Pick<Fleet, "ever">,
  history: Pick<History, "hear">,
  buried: ReadonlySet<string>,
  violation: (what: string) => void
) {
  let events = 0
  let fullReads = 0
  const record = (_: Endpoint.ServiceName, event: DiscoveryState.Event) => {
    events++
    if (event._tag === "Reset") fullReads++
    history.hear(name, event)
  }
  const layer = Discovery.layer.pipe(
    Layer.provide(Etcd.layer({ hosts })),
    Layer.provide(Layer.succeed(Discovery.Recorder, record)),
    Layer.provide(quiet)
  )
  const discovery = Context.get(yield* Layer.build(layer), Discovery.Discovery)
  const subscription = yield* discovery.subscribe(Endpoint.ServiceName.make(service))

  let filled = false
  let version = -1
  yield* subscription.changes.pipe(
    Stream.runForEach((state) =>
      Effect.sync(() => {
        if (!DiscoveryState.isKnown(state)) {
          if (filled) violation(`${name}: lost its snapshot (${state._tag})`)
          return
        }
        if (state.snapshot.version === version) return
        version = state.snapshot.version
        if (Snapshot.size(state.snapshot) > 0) filled = true
        else if (filled) violation(`${name}: its snapshot was emptied`)
        for (const id of HashMap.keys(state.snapshot.endpoints)) {
          if (!fleet.ever.has(id)) violation(`${name}: ${id} was never registered`)
          if (buried.has(id)) violation(`${name}: ${id} came back after it had left`)
        }
      })
    ),
    Effect.forkScoped
  )

  /** What it has, as lines to compare; held ones apart, because the registry does not list them. */
  const sees = () => {
    const state = subscription.current()
    if (!DiscoveryState.isKnown(state)) return { listed: [state._tag], held: [] }
    const endpoints = Snapshot.endpoints(state.snapshot)
    return {
      listed: endpoints
        .filter(({ id }) => !HashMap.has(state.held, id))
        .map(line)
        .toSorted(),
      held: [...HashMap.keys(state.held)]
    }
  }

  return { name, sees, events: () => events, fullReads: () => fullReads }
})

/** An endpoint as a line to compare. */
export const line = ({ id, address, draining }: Endpoint.Endpoint) => `${id} ${address}${draining ? " draining" : ""}`
