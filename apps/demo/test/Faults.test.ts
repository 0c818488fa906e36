// Servers that leave, die and come back under load, as real processes: nobody who calls them may notice.
import { assert, describe, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, References } from "effect"
import { good } from "../src/Orders.ts"
import type { Act, Stage } from "../src/story/Acts.ts"
import { tell } from "../src/story/Story.ts"
import * as Telling from "../src/story/Telling.ts"

const plain = (text: string) => text
const paint = { strong: plain, faint: plain, good: plain, bad: plain, warn: plain, accent: plain }

/** Plays one act under load and answers with the evidence; what was told is kept for the message of a failure. */
const underLoad = Effect.fnUntraced(
  function* (play: Act["play"]) {
    const lines: Array<string> = []
    const telling = Telling.make({ isTerminal: false, paint, write: (line) => lines.push(line) }, () => 0)
    const acts = [{ name: "act", title: "under load", play }]
    const told = yield* tell({ registry: "local", acts, rate: 80, pace: 1, breaks: undefined }, telling)
    return { ...told, lines: lines.join("") }
  },
  Effect.provide(NodeServices.layer),
  Effect.provideService(References.MinimumLogLevel, "Error")
)

const nobodyNotices = (play: (stage: Stage) => ReturnType<Act["play"]>) =>
  Effect.gen(function* () {
    const { report, problems, lines } = yield* underLoad(play)
    const evidence = `${problems.join("\n")}\n${lines}`
    assert.strictEqual(report.failed, 0, evidence)
    assert.strictEqual(report.executedTwice, 0, evidence)
    assert.strictEqual(report.removedWhileServing, 0, evidence)
    assert.isAbove(report.requests, 100, evidence)
    return report
  })

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
      assert.isAtMost(lostInKill, 4)
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
