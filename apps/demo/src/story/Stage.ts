/**
 * What the acts of the story play on: the servers, the registry, and the client that must notice nothing.
 */
import { Duration, Effect, HashMap } from "effect"
import { HttpApiClient } from "effect/http-api"
import { DiscoveryState } from "@muster/core"
import { Orders } from "../Orders.ts"
import { count } from "../Screen.ts"
import { Trouble } from "../Trouble.ts"
import type { View } from "../View.ts"
import { until } from "../Wait.ts"
import { type Place, places, type Stage } from "./Acts.ts"
import type { Evidence } from "./Evidence.ts"
import * as Fleet from "./Fleet.ts"
import type { Measure, RegistryControl } from "./RegistryControl.ts"
import type { Telling } from "./Telling.ts"

export interface Parts {
  readonly fleet: Fleet.Fleet
  readonly registry: RegistryControl["Service"]
  readonly view: View
  /** Hears of a kill before it happens and after it. */
  readonly evidence: Pick<Evidence, "killing" | "killed">
  readonly telling: Pick<Telling, "did">
  /** Multiplies every pause. */
  readonly pace: number
}

/** The longest wait for anything that must follow from something else. */
const patience = Duration.seconds(30)

const inTime = (condition: () => boolean, otherwise: () => string) =>
  Effect.timeoutOrElse(until(condition), {
    duration: patience,
    orElse: () => Effect.fail(new Trouble({ message: `${otherwise()} after ${Duration.toSeconds(patience)} s` }))
  })

export const make = ({ fleet, registry, view, evidence, telling, pace }: Parts): Stage => {
  const cast = new Map<Place, Fleet.Server>()
  const starts = new Map<Place, number>()

  const narrate = (text: string) => Effect.sync(() => telling.did(text))
  const taken = ({ says, done }: Measure) => Effect.andThen(narrate(says), done)
  const instance = (place: Place) => cast.get(place)?.id ?? place
  const addressOf = (place: Place) => view.endpoints.get(instance(place))?.address ?? ""

  const isSettled = () =>
    DiscoveryState.isKnown(view.state) &&
    view.state._tag === "Live" &&
    HashMap.isEmpty(view.state.held) &&
    places.every((place) => view.endpoints.has(instance(place)))

  const withServer = <A, E, R>(place: Place, f: (server: Fleet.Server) => Effect.Effect<A, E, R>) =>
    Effect.suspend((): Effect.Effect<A, E | Trouble, R> => {
      const server = cast.get(place)
      return server === undefined ? Effect.fail(new Trouble({ message: `${place} was never started` })) : f(server)
    })

  return {
    pause: (seconds) => Effect.sleep(Duration.seconds(seconds * pace)),
    narrate,
    instance,
    start: Effect.fn("Stage.start")(function* (place) {
      const number = (starts.get(place) ?? 0) + 1
      starts.set(place, number)
      const server = yield* fleet.start(`${place}-${number}`)
      cast.set(place, server)
      const isThere = () => view.endpoints.has(server.id)
      yield* inTime(
        () => isThere() || !server.isServing,
        () => `${Fleet.lastWords(server)}: not listed`
      )
      if (!isThere()) return yield* new Trouble({ message: `${Fleet.lastWords(server)}: ended` })
    }),
    stop: (place) =>
      withServer(place, (server) => {
        telling.did(`${server.id} is told to stop (SIGTERM)`)
        return fleet.stop(server)
      }),
    kill: (place) =>
      withServer(place, (server) => {
        const address = addressOf(place)
        const orders = evidence.killing(address)
        telling.did(`${server.id} is killed (-9) with ${count(orders, "order")} in flight`)
        return Effect.ensuring(
          fleet.kill(server),
          Effect.sync(() => evidence.killed(address))
        )
      }),
    conduct: Effect.fn("Stage.conduct")(function* (place, conduct) {
      const { backstage } = yield* HttpApiClient.make(Orders, { baseUrl: `http://${addressOf(place)}` })
      yield* backstage
        .conduct({ payload: conduct })
        .pipe(Effect.mapError(({ message }) => new Trouble({ message: `${instance(place)}: ${message}` })))
    }),
    gone: (id) =>
      inTime(
        () => !view.endpoints.has(id),
        () => `${id} is still listed`
      ),
    restored: (place) =>
      inTime(
        () => !view.ejected.has(instance(place)),
        () => `${instance(place)} is still ejected`
      ),
    troubled: Effect.fn("Stage.troubled")(function* (strike, heal) {
      const before = view.troubles
      yield* strike
      yield* inTime(
        () => view.troubles > before,
        () => "the client has not noticed what happened to the registry"
      )
      yield* heal
      yield* inTime(isSettled, () => "the registry is not as it was")
    }),
    registry: {
      outages: registry.outages.map(({ takeAway, bringBack }) => ({
        takeAway: taken(takeAway),
        bringBack: taken(bringBack)
      })),
      wipe: taken(registry.wipe)
    }
  }
}
