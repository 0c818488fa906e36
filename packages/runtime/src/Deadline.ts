/**
 * The time by which whoever asked wants the answer: it bounds an effect, and goes along with every request that a
 * balanced client sends for it, so that nobody works for a caller that has given up.
 *
 * The request says how much time is left in `grpc-timeout`, the header and the format of gRPC over HTTP/2 ("1500m"): a
 * duration, so clocks need not agree. An attempt has what its own deadline (`Policy.Attempt`) and the caller leave it,
 * whichever is less. `ServerDeadline` is the other side. Measured on the monotonic clock.
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/**
 * When the answer is due, in nanoseconds of the monotonic clock. Default: whenever.
 *
 * @category services
 * @since 0.1.0
 */
export const Due = Context.Reference<bigint | undefined>("@muster/runtime/Deadline/Due", {
  defaultValue: () => undefined
})

/**
 * Gives an effect so much time, or what is left of the time that it is part of, and interrupts it afterwards with a
 * `TimeoutError`. Unlike `Effect.timeout` it tells everybody who is asked on the way.
 *
 * **Gotchas**
 *
 * A batch of RPCs (`RpcClient.layerProtocolHttp({ batch })`) is one request, which is sent for whoever called first: his
 * time ends it for all. With `batch`, bound the attempts of the client (`Policy.Attempt`), never a single call.
 *
 * @category combinators
 * @since 0.1.0
 */
export const within =
  (duration: Duration.Input) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Cause.TimeoutError, R> =>
    Effect.withFiber((fiber) => {
      const time = Duration.min(Duration.fromInputUnsafe(duration), Duration.millis(left(fiber.context)))
      if (!Duration.isFinite(time)) return self
      const due = fiber.getRef(Clock.Clock).monotonicTimeNanosUnsafe() + Duration.toNanosUnsafe(time)
      return Effect.timeout(Effect.provideService(self, Due, due), time)
    })

/**
 * How much time is left: never less than zero, and `undefined` if there is no deadline.
 *
 * @category getters
 * @since 0.1.0
 */
export const remaining: Effect.Effect<Duration.Duration | undefined> = Effect.withFiber((fiber) => {
  const millis = left(fiber.context)
  return Effect.succeed(millis === Infinity ? undefined : Duration.millis(millis))
})

/**
 * How many milliseconds are left in a context, `Infinity` if there is no deadline. Less than one is none: no timer is finer.
 *
 * @category getters
 * @since 0.1.0
 */
export const left = (context: Context.Context<never>): number => {
  const due = Context.get(context, Due)
  if (due === undefined) return Infinity
  const millis = Number(due - Context.get(context, Clock.Clock).monotonicTimeNanosUnsafe()) / 1e6
  return millis < 1 ? 0 : millis
}

/**
 * The header that says how much time is left.
 *
 * @category headers
 * @since 0.1.0
 */
export const header = "grpc-timeout"

/**
 * The value of the header: at most eight digits and a unit, rounded up so that the server never gives up first.
 *
 * @category headers
 * @since 0.1.0
 */
export const toHeader = (time: Duration.Duration): string => {
  const millis = Math.ceil(Duration.toMillis(time))
  return millis <= maxValue ? `${millis}m` : `${Math.min(maxValue, Math.ceil(millis / 1000))}S`
}

/**
 * Reads the value of the header; `undefined` where it is none.
 *
 * @category headers
 * @since 0.1.0
 */
export const fromHeader = (text: string | undefined): Duration.Duration | undefined => {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text ?? "")
  return match === null ? undefined : Duration.millis(Number(match[1]) * (unit[match[2]] ?? 0))
}

const maxValue = 99_999_999

/** The units of gRPC, in milliseconds. */
const unit: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }
