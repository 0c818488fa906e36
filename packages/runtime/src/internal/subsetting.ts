/**
 * The part of a large service that this client uses: `Subset`, fed by discovery with who else is a client.
 *
 * Until the list of clients is known, or if this client is not on it, the client goes by itself. A list that was known
 * once is kept, whatever becomes of the registry.
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
    let subscription: Subscription | undefined
    let clients: ReadonlySet<string> = new Set()
    let shown = Snapshot.empty

    const clientsNow = (): ReadonlySet<string> => {
      const state = subscription?.current()
      if (state !== undefined && DiscoveryState.isKnown(state)) clients = idsOf(state.snapshot)
      return clients
    }

    return {
      /** The states of the service, and its present one again whenever the clients have changed. */
      follow: (service: Subscription) =>
        client.service === undefined
          ? Effect.succeed(service.changes)
          : Effect.map(discovery.subscribe(client.service), (subscribed) => {
              subscription = subscribed
              // No request waits for the clients: if discovery gave up on them, an answer about the service is the reason
              // to start over.
              const startOver = ({ _tag }: DiscoveryState.DiscoveryState) =>
                _tag === "Live" ? subscribed.retry : Effect.void
              return Stream.merge(
                Stream.tap(service.changes, startOver),
                Stream.map(subscribed.changes, service.current)
              )
            }),
      /** The same snapshot, or one with a part of its endpoints. */
      narrow: (snapshot: Snapshot.Snapshot): Snapshot.Snapshot => {
        Subset.follow(subset, idsOf(snapshot), clientsNow())
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
