/**
 * One attempt from the choice to the record of its exit, between which nothing may come.
 *
 * It has a fiber of its own, which its caller or its deadline interrupts, and what is recorded is what the caller is told.
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Core from "@muster/core/Attempt"
import type { Endpoint } from "@muster/core/Endpoint"
import type { LoadReport } from "@muster/core/LoadReport"
import * as Outcome from "@muster/core/Outcome"
import type { Attempt } from "../Balancer.ts"
import { BalancerError, DeadlineExceeded } from "../BalancerError.ts"
import type * as Alarms from "./alarms.ts"
import type { BalancerActor } from "./balancerActor.ts"

/** How long an attempt may take, and whether that is because its caller has no more time. */
export interface Deadline {
  readonly time: Duration.Duration
  readonly isCallers: boolean
}

export const deadlineOf = (own: Duration.Duration, left: number): Deadline =>
  left < Duration.toMillis(own) ? { time: Duration.millis(left), isCallers: true } : { time: own, isCallers: false }

export interface Options<A, E, R> {
  readonly actor: BalancerActor
  readonly picked: Core.Attempt
  readonly arm: Alarms.Arm
  readonly deadline: Deadline
  /** What it is provided with. */
  readonly context: Context.Context<R>
  readonly f: (endpoint: Endpoint, attempt: Attempt) => Effect.Effect<A, E, R>
  readonly classify: (exit: Exit.Exit<A, E | BalancerError>) => Outcome.Outcome
}

/** Starts the attempt, and gives what interrupts it. */
export const begin = <A, E, R>(
  { actor, arm, classify, context, deadline, f, picked }: Options<A, E, R>,
  resume: (result: Effect.Effect<A, E | BalancerError>) => void
): Effect.Effect<void> => {
  const { service } = actor
  const { endpoint } = picked.member
  const attempt = new Begun(actor, picked, deadline.time)
  let isTooLate = false
  let instead: Exit.Exit<never, BalancerError> | undefined
  const result = (own: Exit.Exit<A, E>): Exit.Exit<A, E | BalancerError> => instead ?? own
  const disarm = arm(Duration.toMillis(deadline.time), () => {
    isTooLate = true
    instead = Exit.fail(new BalancerError({ service, reason: deadlineExceeded(endpoint, deadline) }))
    fiber.interruptUnsafe()
  })
  const recorded = Effect.onExitPrimitive(
    Effect.suspend(() => f(endpoint, attempt)),
    (own) => {
      disarm()
      const exit = result(own)
      let outcome = Outcome.interrupted
      try {
        // That a caller has little time says as little about the instance as that it has lost interest.
        if (!isTooLate || !deadline.isCallers) outcome = classify(exit)
        if (attempt.isBroken && outcome._tag === "Succeeded") outcome = Outcome.failed
      } finally {
        actor.settle(picked, outcome)
        if (!attempt.isHeld || Exit.isFailure(exit)) actor.end(picked)
      }
      return outcome._tag === "Refused" ? actor.subscription()?.refused(endpoint.id) : undefined
    }
  )
  const fiber = Effect.runForkWith(context)(recorded)
  fiber.addObserver((own) => resume(result(own)))
  return Effect.suspend(() => {
    instead = Exit.interrupt()
    return Fiber.interrupt(fiber)
  })
}

/**
 * What the attempted function gets. It knows nothing of the fiber: whoever holds an attempt would keep that, and with it
 * the answer that may be forgotten.
 */
class Begun implements Attempt {
  isHeld = false
  isBroken = false
  readonly picked: Core.Attempt
  readonly time: Duration.Duration
  readonly #actor: BalancerActor

  constructor(actor: BalancerActor, picked: Core.Attempt, time: Duration.Duration) {
    this.#actor = actor
    this.picked = picked
    this.time = time
  }

  get note() {
    return (report: LoadReport) => this.#actor.note(this.picked, report)
  }

  get hold() {
    return () => {
      this.isHeld = true
      return (isBroken: boolean) => this.#over(isBroken)
    }
  }

  #over(isBroken: boolean) {
    if (this.picked.ended) return
    if (this.picked.outcome === undefined) {
      // What is over before the attempt itself ends with it.
      this.isHeld = false
      this.isBroken ||= isBroken
      return
    }
    if (isBroken) this.#actor.settle(this.picked, Outcome.failed)
    this.#actor.end(this.picked)
  }
}

const deadlineExceeded = (endpoint: Endpoint, { isCallers, time }: Deadline) =>
  new DeadlineExceeded({
    message:
      `${endpoint.id} (${endpoint.address}) did not answer within ${Duration.format(time)}` +
      (isCallers
        ? ", which is all that the deadline of the caller left"
        : "; if requests may take longer, raise Policy.Attempt")
  })
