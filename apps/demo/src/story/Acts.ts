/**
 * What the story does to its servers and its registry, one act after the other, under the same steady load.
 *
 * An act only does things and waits for what must follow from them; what it proves is taken down elsewhere.
 */
import { Duration, Effect, type PlatformError } from "effect"
import type { HttpClient } from "effect/http"
import type { ChildProcessSpawner } from "effect/process"
import { type Conduct, good } from "../Orders.ts"
import type { Trouble } from "../Trouble.ts"

/** The three places that the story fills with servers: a restarted one has a new process, and so a new number. */
export const places = ["ash", "birch", "cedar"] as const

export type Place = (typeof places)[number]

/** Something that is done on the stage, until what must follow has followed. */
type Deed = Effect.Effect<
  void,
  Trouble | PlatformError.PlatformError,
  ChildProcessSpawner.ChildProcessSpawner | HttpClient.HttpClient
>

/** What an act can do. */
export interface Stage {
  /** Waits so many seconds, times the pace that was asked for. */
  readonly pause: (seconds: number) => Effect.Effect<void>
  readonly narrate: (text: string) => Effect.Effect<void>
  /** The instance that has this place now. */
  readonly instance: (place: Place) => string
  /** Starts the next process of this place and waits until the client knows it. */
  readonly start: (place: Place) => Deed
  readonly stop: (place: Place) => Deed
  readonly kill: (place: Place) => Deed
  readonly conduct: (place: Place, conduct: Conduct) => Deed
  /** Waits until the client's snapshot lacks the instance. */
  readonly gone: (instance: string) => Deed
  /** Waits until the balancer uses the instance again. */
  readonly restored: (place: Place) => Deed
  /** Waits until the client has noticed what was done to the registry, heals it, and waits until all is as it was. */
  readonly troubled: (strike: Deed, heal: Deed) => Deed
  readonly registry: {
    readonly outages: ReadonlyArray<{ readonly takeAway: Deed; readonly bringBack: Deed }>
    readonly wipe: Deed
  }
}

export interface Act {
  readonly name: string
  readonly title: string
  readonly play: (stage: Stage) => Deed
}

/** The registry is taken away for so long, times the pace, once in each way that there is. */
export const outage = (duration: Duration.Duration): Act => ({
  name: "outage",
  title: "the registry is taken away and brought back",
  play: Effect.fnUntraced(function* ({ pause, registry, troubled }) {
    yield* pause(1)
    for (const { takeAway, bringBack } of registry.outages) {
      yield* troubled(Effect.andThen(takeAway, pause(Duration.toSeconds(duration))), bringBack)
      yield* pause(2)
    }
  })
})

export const acts: ReadonlyArray<Act> = [
  {
    name: "steady",
    title: "three servers, and nothing happens",
    play: ({ pause }) => pause(8)
  },
  {
    name: "kill",
    title: "one server is killed with -9 and started again",
    play: Effect.fnUntraced(function* ({ gone, instance, kill, pause, start }) {
      yield* pause(1)
      const victim = instance("birch")
      yield* kill("birch")
      yield* pause(3)
      yield* start("birch")
      yield* gone(victim)
      yield* pause(1)
    })
  },
  {
    name: "slow",
    title: "one server becomes 10 × slower",
    play: Effect.fnUntraced(function* ({ conduct, instance, narrate, pause }) {
      yield* pause(1)
      yield* conduct("cedar", { ...good, slowness: 10 })
      yield* narrate(`${instance("cedar")} takes ten times as long from now on`)
      yield* pause(6)
      yield* conduct("cedar", good)
      yield* narrate(`${instance("cedar")} is as quick as before`)
      yield* pause(3)
    })
  },
  {
    name: "failing",
    title: "one server fails fast: 503 after a millisecond",
    play: Effect.fnUntraced(function* ({ conduct, instance, narrate, pause, restored }) {
      yield* pause(1)
      yield* conduct("ash", { ...good, failing: true })
      yield* narrate(`${instance("ash")} answers 503 to everything from now on`)
      yield* pause(5)
      yield* conduct("ash", good)
      yield* narrate(`${instance("ash")} is well again`)
      yield* restored("ash")
      // Until it has its share again.
      yield* pause(8)
    })
  },
  {
    name: "rolling",
    title: "all servers are restarted, one after the other",
    play: ({ pause, start, stop }) =>
      Effect.forEach(places, (place) => Effect.andThen(stop(place), Effect.andThen(start(place), pause(1))), {
        discard: true
      })
  },
  outage(Duration.seconds(10)),
  {
    name: "wiped",
    title: "the registry loses everything",
    play: Effect.fnUntraced(function* ({ pause, registry, troubled }) {
      yield* pause(1)
      yield* troubled(registry.wipe, Effect.void)
      yield* pause(3)
    })
  }
]
