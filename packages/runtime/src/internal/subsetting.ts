/**
 * The part of a large service that this client uses: `Subset`, fed by discovery with who else is a client.
 *
 * Until the list of clients is known, or if this client is not on it, the client goes by itself.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as DiscoveryState from "@muster/core/DiscoveryState"
import * as Policy from "@muster/core/Policy"
import * as Snapshot from "@muster/core/Snapshot"
import * as Subset from "@muster/core/Subset"
import { Discovery, type Subscription } from "../Discovery.ts"

/** Reads the policy once and gives a constructor, one subset for each service; none where there is nothing to do. */
export const factory = Effect.gen(function* () {
  const discovery = yield* Discovery
  const { client, ...options } = yield* Policy.Subset

  return () => {
    if (client === undefined) return undefined
    const subset = Subset.make(options, client.id)
    let clients: Subscription | undefined
    let shown = Snapshot.empty

    return {
      /** Follows the clients, and tells when they have changed. */
      changes:
        client.service === undefined
          ? Effect.succeed(Stream.never)
          : Effect.map(discovery.subscribe(client.service), (subscribed) => {
              clients = subscribed
              return subscribed.changes
            }),
      /** The same snapshot, or one with a part of its endpoints. */
      narrow: (snapshot: Snapshot.Snapshot): Snapshot.Snapshot => {
        Subset.follow(subset, idsOf(snapshot), clientsOf(clients))
        const ids = Subset.chosen(subset)
        if (ids.size === Snapshot.size(snapshot)) return (shown = snapshot)
        const wanted = Snapshot.make(Snapshot.endpoints(snapshot).filter(({ id }) => ids.has(id)))
        return (shown = Snapshot.apply(shown, Snapshot.diff(shown, wanted)))
      }
    }
  }
})

const idsOf = (snapshot: Snapshot.Snapshot): ReadonlySet<string> =>
  new Set(Snapshot.endpoints(snapshot).map(({ id }) => id))

const clientsOf = (clients: Subscription | undefined): ReadonlySet<string> => {
  const state = clients?.current()
  return state !== undefined && DiscoveryState.isKnown(state) ? idsOf(state.snapshot) : new Set()
}
