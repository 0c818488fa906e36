// Servers that leave, die and come back under load, as real processes: nobody who calls them may notice.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { good } from "../src/Orders.ts"
import type { Act } from "../src/story/Acts.ts"
import { nobodyNotices } from "./fixtures/underLoad.ts"

const both = (f: (place: "ash" | "birch") => ReturnType<Act["play"]>) =>
  Effect.forEach(["ash", "birch"] as const, f, { concurrency: 2, discard: true })

describe("under load", () => {
  it.live("F-s2: a server that is told to stop answers all that it was asked, also when that takes long", () =>
    nobodyNotices(({ conduct, pause, stop }) =>
      Effect.gen(function* () {
        yield* conduct("ash", { ...good, slowness: 60 })
        yield* pause(1)
        yield* stop("ash")
        yield* pause(1)
      })
    )
  )

  it.live("F-s3: two of three servers are killed at once, and their requests are answered by the third", () =>
    Effect.gen(function* () {
      const { lostInKill } = yield* nobodyNotices(({ kill, pause, start }) =>
        Effect.gen(function* () {
          yield* pause(1)
          yield* both(kill)
          yield* pause(1)
          yield* both(start)
          yield* pause(1)
        })
      )
      assert.isAtMost(lostInKill, 8)
    })
  )

  it.live("F-s8: two of three servers are restarted at once, and no request fails", () =>
    nobodyNotices(({ pause, start, stop }) =>
      Effect.gen(function* () {
        yield* pause(1)
        yield* both((place) => Effect.andThen(stop(place), start(place)))
        yield* pause(1)
      })
    )
  )
})
