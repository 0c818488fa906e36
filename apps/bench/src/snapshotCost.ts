/**
 * P3: a million deltas over 10 000 endpoints, in bursts of a hundred, with a list that can be read after each.
 *
 * Against a plain `Map` whose values are copied to an array after each burst. Both run in a process of their own and in
 * turn, and the time of all their threads counts, because garbage is part of the cost. An endpoint's bytes are those
 * of the endpoint itself and of its place in a snapshot, after a full collection.
 */
import { Effect } from "effect"
import * as Child from "./Child.ts"
import { make, quantile } from "./Row.ts"

const rounds = 50
const warmUps = 10
/** Of 100 deltas each: 50 rounds of them are a million. */
const bursts = 200

export const snapshotCost = Effect.gen(function* () {
  const muster = yield* Child.start("deltas", ["muster"], ["--expose-gc"])
  const plain = yield* Child.start("deltas", ["plain"], ["--expose-gc"])
  const bytes = Number(yield* muster.hear)
  yield* plain.hear
  const times: Array<number> = []
  const ratios: Array<number> = []
  const plainTimes: Array<number> = []
  for (let round = -warmUps; round < rounds; round++) {
    const time = yield* timed(muster)
    const plainTime = yield* timed(plain)
    if (round < 0) continue
    times.push(time)
    plainTimes.push(plainTime)
    ratios.push(time / plainTime)
  }
  const other = quantile(plainTimes, 0.5)
  return [
    make({
      id: "P3",
      case: "one of 1000000 deltas over 10000 endpoints, a snapshot per 100, against Map + array copy",
      value: other * quantile(ratios, 0.5),
      against: other,
      unit: "ns",
      bar: 1.25
    }),
    make({
      id: "P3",
      case: "an endpoint in a snapshot of 10000, against the limit",
      value: bytes,
      against: 600,
      unit: "B",
      bar: 1
    })
  ]
}).pipe(Effect.scoped)

const timed = (program: Child.Child) => Effect.map(Effect.andThen(program.tell(String(bursts)), program.hear), Number)
