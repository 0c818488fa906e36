/**
 * The client side of the orders service: discovery, balancer and balanced HTTP client over one registry, and a view
 * that is shown all that happens in them.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { BalancedHttpClient, Balancer, Discovery } from "@muster/runtime"
import type { Resolver } from "@muster/core/Resolver"
import { Effect, Layer, Stream } from "effect"
import * as Traffic from "./Traffic.ts"
import type { View } from "./View.ts"

/** An `HttpClient` for `http://orders/…` that finds its servers in a registry and shows `view` what it does. */
export const layer = <E>(registry: Layer.Layer<Resolver, E>, view: View) =>
  Layer.merge(BalancedHttpClient.layer, shown(view)).pipe(
    Layer.provide(Layer.provide(Traffic.observed, NodeHttpClient.layerUndici)),
    Layer.provide(Balancer.layer),
    Layer.provideMerge(Discovery.layer),
    Layer.provide(registry),
    Layer.provide(Layer.succeed(Discovery.Recorder, (_, event) => view.hear(event)))
  )

const shown = (view: View) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { events } = yield* Balancer.Balancer
      yield* events.pipe(
        Stream.runForEach((event) => Effect.sync(() => view.heed(event))),
        Effect.forkScoped({ startImmediately: true })
      )
    })
  )
