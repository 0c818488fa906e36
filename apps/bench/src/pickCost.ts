/**
 * P1: what it costs to choose an instance and to learn from its answer, two readings of the clock included.
 *
 * Against the least that may be called the same: the power of two choices over a peak EWMA in three typed arrays, with
 * the same clock and the same random numbers, without health, weights, warm-up, or the last picks. At 10 000 endpoints
 * that misses caches as well, but in 200 kB, where an instance of Muster has a cache line of its own. Each program and
 * size has a process of its own, so that none is compiled for what another one does. Slices of a few milliseconds take
 * turns, each counts the time that its process spent on a processor, and the figure is the median of the ratios of
 * neighbouring slices: what else the machine does hits both. V8 compiles the same program now better, now worse, by a
 * tenth: so all begin anew some times.
 */
import { Effect } from "effect"
import * as Child from "./Child.ts"
import { make, quantile } from "./Row.ts"

const sizes = [10, 100, 1000, 10_000]
const beginnings = 4
const rounds = 21
const warmUps = 15
const requests = 30_000
/** Its cost grows with the number of endpoints. */
const requestsOfMoleculer = (size: number) => Math.max(40, (10 * requests) / size)

/** Some rounds of processes that have just begun. */
const measure = Effect.fnUntraced(function* (measured: ReadonlyArray<Measured>) {
  const started = yield* Effect.forEach(sizes, (size) =>
    Effect.all({
      size: Effect.succeed(size),
      muster: Child.start("pick", ["muster", String(size)]),
      plain: Child.start("pick", ["plain", String(size)]),
      moleculer: Child.start("pick", ["moleculer", String(size)]),
      grpc: Child.start("pick", ["grpc", String(size)])
    })
  )
  const programs = started.map((all, index) => ({ ...all, ...(measured[index] ?? nothing()) }))
  for (let round = -warmUps; round < rounds; round++) {
    for (const { size, muster, plain, moleculer, grpc, times, plainTimes, moleculerTimes, grpcTimes } of programs) {
      const time = yield* timed(muster, requests)
      const plainTime = yield* timed(plain, requests)
      const moleculerTime = yield* timed(moleculer, requestsOfMoleculer(size))
      const grpcTime = yield* timed(grpc, requests)
      if (round < 0) continue
      times.push(time)
      plainTimes.push(plainTime)
      moleculerTimes.push(moleculerTime)
      grpcTimes.push(grpcTime)
    }
  }
}, Effect.scoped)

export const pickCost = Effect.gen(function* () {
  const programs = sizes.map((size) => ({ size, ...nothing() }))
  for (let n = 0; n < beginnings; n++) yield* measure(programs)
  const few = programs[0]?.times ?? []
  const many = programs[programs.length - 1]?.times ?? []
  return [
    ...programs.map(({ size, times, plainTimes }) =>
      against(`pick + finish, ${size} endpoints, against plain two choices`, times, plainTimes, 1.5)
    ),
    against("pick + finish, 10000 endpoints against 10", many, few, 1.2),
    ...programs.map(({ size, times, grpcTimes }) =>
      against(`pick + finish, ${size} endpoints, beside a pick of grpc-js weighted_round_robin`, times, grpcTimes)
    ),
    ...programs.map(({ size, times, moleculerTimes }) =>
      against(`pick + finish, ${size} endpoints, beside Moleculer's EndpointList.next`, times, moleculerTimes)
    )
  ]
})

interface Measured {
  readonly times: Array<number>
  readonly plainTimes: Array<number>
  readonly moleculerTimes: Array<number>
  readonly grpcTimes: Array<number>
}

const nothing = (): Measured => ({ times: [], plainTimes: [], moleculerTimes: [], grpcTimes: [] })

const timed = (program: Child.Child, times: number) =>
  Effect.map(Effect.andThen(program.tell(String(times)), program.hear), Number)

/** The median of the ratios of neighbours in time; the figure beside it is what that ratio makes of the other median. */
const against = (name: string, times: ReadonlyArray<number>, others: ReadonlyArray<number>, bar?: number) => {
  const other = quantile(others, 0.5)
  return make({
    id: "P1",
    case: name,
    value:
      other *
      quantile(
        times.map((time, round) => time / (others[round] ?? NaN)),
        0.5
      ),
    against: other,
    unit: "ns",
    ...(bar === undefined ? {} : { bar })
  })
}
