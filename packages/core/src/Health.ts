/**
 * Whether an instance is used: the states, the events, and the pure `step` between them.
 *
 * ```
 *             Succeeded   Failed                       ProbeStarted       ProbeCancelled    Ticked
 * Warming     ·           streak or rate → Ejected(1)  ·                  ·                 warmed → Healthy
 * Healthy     ·           streak or rate → Ejected(1)  ·                  ·                 ·
 * Ejected(k)  ·           ·                            due → Probing(k)   ·                 ·
 * Probing(k)  Warming     Ejected(k+1)                 ·                  Ejected(k), due   ·
 * ```
 *
 * An event says all that its transition needs, randomness included, so folding a recorded log gives every state again.
 * Nobody makes an event where the table has a dot: a success of a healthy instance costs nothing.
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

/**
 * When an instance is taken out, for how long, how many at most, and how it comes back.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** So many failures in a row. */
  readonly consecutive: number
  /** Or a success rate below this share of the success rate of the others. */
  readonly successRate: number
  /** But only after so many requests within the window. */
  readonly minimumRequests: number
  /** Out for `base` × 2ⁿ, at most `cap`, with equal jitter. */
  readonly base: Duration.Duration
  readonly cap: Duration.Duration
  /** At most this share of the instances is out, though always at least one may be. */
  readonly maxEjected: number
  /** Below this share of instances in use, those that are out are used as well. */
  readonly panicBelow: number
  /** How long an instance that was out is warmed up. */
  readonly restore: Duration.Duration
}

/** Milliseconds since the start of the log, on a monotonic clock. */
const at = Schema.Finite

/**
 * Why an instance failed once too often.
 *
 * @category models
 * @since 0.1.0
 */
export const Evidence = Schema.Struct({
  /** Whether the connection was refused: then nobody is there, and once is enough. */
  refused: Schema.Boolean,
  /** How many requests failed in a row. */
  streak: Schema.Finite,
  /** How many requests the window holds. */
  requests: Schema.Finite,
  /** The share of them that succeeded. */
  successRate: Schema.Finite,
  /** The same share of all other instances. */
  successRateOfOthers: Schema.Finite
})

/**
 * Why an instance failed once too often.
 *
 * @category models
 * @since 0.1.0
 */
export type Evidence = typeof Evidence.Type

/**
 * Everything that can happen to the health of an instance.
 *
 * @category models
 * @since 0.1.0
 */
export const Event = Schema.TaggedUnion({
  /** A probe was answered. */
  Succeeded: { at },
  /** A request failed. `room`: another instance may be taken out; `jitter`: a random number from 0 to 1. */
  Failed: { at, evidence: Evidence, room: Schema.Boolean, jitter: Schema.Finite },
  /** A request is sent to find out whether the instance is well again. */
  ProbeStarted: { at },
  /** The caller of the probe lost interest before an answer was due. */
  ProbeCancelled: { at },
  /** Time passed. */
  Ticked: { at }
})

/**
 * Everything that can happen to the health of an instance.
 *
 * @category models
 * @since 0.1.0
 */
export type Event = typeof Event.Type

/**
 * Where an instance stands. Times are milliseconds since the start of the log.
 *
 * @category states
 * @since 0.1.0
 */
export type Health =
  /** In use, with a share that grows until `until`. */
  | { readonly _tag: "Warming"; readonly since: number; readonly until: number }
  /** In use. */
  | { readonly _tag: "Healthy" }
  /** Out for the `attempt`th time in a row; from `until` on one request may be sent to it. */
  | { readonly _tag: "Ejected"; readonly attempt: number; readonly since: number; readonly until: number }
  /** Out, and one request is on its way to find out. */
  | { readonly _tag: "Probing"; readonly attempt: number }

/**
 * In use with its full share.
 *
 * @category constructors
 * @since 0.1.0
 */
export const healthy: Health = { _tag: "Healthy" }

/**
 * The first state of an instance that started at `startedAt`: warming up until `warmUp` milliseconds later.
 *
 * @category constructors
 * @since 0.1.0
 */
export const started = (startedAt: number, warmUp: number, now: number): Health =>
  startedAt + warmUp > now ? { _tag: "Warming", since: startedAt, until: startedAt + warmUp } : healthy

/**
 * Whether the instance is used like any other.
 *
 * @category getters
 * @since 0.1.0
 */
export const isInUse = (health: Health): boolean => health._tag === "Healthy" || health._tag === "Warming"

/**
 * From when on a request may find out whether the instance is well; infinite where there is nothing to find out.
 *
 * A request that cannot be sent again would be lost on an instance that is not. It waits as long again, for another
 * one to try, and takes the risk only then.
 *
 * @category getters
 * @since 0.1.0
 */
export const probeAt = (health: Health, repeatable: boolean): number =>
  health._tag !== "Ejected" ? Infinity : repeatable ? health.until : 2 * health.until - health.since

/**
 * Whether an instance failed once too often: nobody was there, a streak, or much less success than the others have.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isUnfit = (options: Options, evidence: Evidence): boolean =>
  evidence.refused ||
  evidence.streak >= options.consecutive ||
  (evidence.requests >= options.minimumRequests &&
    evidence.successRate < options.successRate * evidence.successRateOfOthers)

/**
 * Whether another one of `total` instances may be taken out when `out` are: never the last one.
 *
 * @category predicates
 * @since 0.1.0
 */
export const hasRoom = (options: Options, total: number, out: number): boolean =>
  out + 1 < total && out + 1 <= Math.max(1, Math.floor(total * options.maxEjected))

/**
 * Whether so few of `total` instances are in use that those that are out must be used as well.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isPanic = (options: Options, total: number, out: number): boolean =>
  out > 0 && total - out < total * options.panicBelow

/**
 * The transition function: the next state, or the same reference where the event means nothing.
 *
 * @category transitions
 * @since 0.1.0
 */
export const step =
  (options: Options) =>
  (state: Health, event: Event): Health => {
    switch (state._tag) {
      case "Warming":
        return event._tag === "Ticked" && event.at >= state.until ? healthy : stepInUse(options, state, event)
      case "Healthy":
        return stepInUse(options, state, event)
      case "Ejected":
        return event._tag === "ProbeStarted" && event.at >= state.until
          ? { _tag: "Probing", attempt: state.attempt }
          : state
      case "Probing":
        return stepProbing(options, state, event)
    }
  }

const stepInUse = (options: Options, state: Health, event: Event): Health =>
  event._tag === "Failed" && event.room && isUnfit(options, event.evidence)
    ? ejected(options, 1, event.at, event.jitter)
    : state

const stepProbing = (options: Options, state: Extract<Health, { readonly _tag: "Probing" }>, event: Event): Health => {
  switch (event._tag) {
    case "Succeeded":
      return { _tag: "Warming", since: event.at, until: event.at + Duration.toMillis(options.restore) }
    case "Failed":
      return ejected(options, state.attempt + 1, event.at, event.jitter)
    case "ProbeCancelled":
      // As if it had been out for `base` until now: who cannot be sent again waits for another one once more.
      return {
        _tag: "Ejected",
        attempt: state.attempt,
        since: event.at - Duration.toMillis(options.base),
        until: event.at
      }
    default:
      return state
  }
}

/** Equal jitter: half of the delay for sure, the other half at random (Brooker, "Exponential backoff and jitter"). */
const ejected = (options: Options, attempt: number, at: number, jitter: number): Health => {
  const delay = Math.min(Duration.toMillis(options.base) * 2 ** (attempt - 1), Duration.toMillis(options.cap))
  return { _tag: "Ejected", attempt, since: at, until: at + (delay / 2) * (1 + jitter) }
}
