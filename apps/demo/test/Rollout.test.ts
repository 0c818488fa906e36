// A rollout under load, as real processes: every server is replaced, and nobody who calls them may notice, on whatever
// registry and whatever that does meanwhile.
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as EtcdServer from "../../../packages/backends/test/fixtures/EtcdServer.ts"
import { type Place, places, type Stage } from "../src/story/Acts.ts"
import { nobodyNotices } from "./fixtures/underLoad.ts"

const rollout = ({ pause }: Stage, replace: (place: Place) => ReturnType<Stage["start"]>) =>
  Effect.gen(function* () {
    yield* pause(1)
    for (const place of places) yield* Effect.andThen(replace(place), pause(1))
  })

describe("a rollout", () => {
  it.live(
    "F-s8: of all servers, one after the other, fails no request",
    () => nobodyNotices((stage) => rollout(stage, (place) => Effect.andThen(stage.stop(place), stage.start(place)))),
    { timeout: 120_000 }
  )

  describe.skipIf(EtcdServer.isMissing)("on etcd", () => {
    it.live(
      "F-s8: of all servers, one after the other, fails no request",
      () =>
        nobodyNotices(
          (stage) => rollout(stage, (place) => Effect.andThen(stage.stop(place), stage.start(place))),
          "etcd"
        ),
      { timeout: 120_000 }
    )

    it.live(
      "F-s8, F-etcd-b: fails no request while etcd is killed and started again with each server that comes",
      () =>
        nobodyNotices(
          (stage) =>
            rollout(stage, (place) =>
              Effect.gen(function* () {
                yield* stage.stop(place)
                const [restart] = stage.registry.outages
                const restarted =
                  restart === undefined ? Effect.void : Effect.andThen(restart.takeAway, restart.bringBack)
                yield* Effect.all([stage.start(place), restarted], { concurrency: 2, discard: true })
              })
            ),
          "etcd"
        ),
      { timeout: 120_000 }
    )
  })
})
