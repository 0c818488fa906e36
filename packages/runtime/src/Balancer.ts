/**
 * Sends each request to the instance that is most likely to answer it well, and learns from how it went.
 *
 * One actor for each service that somebody asked for, over Discovery. Choosing is synchronous and waits for nobody once
 * an instance is known; what was learned survives every change of the list. `use` is the whole contract: it chooses,
 * bounds the attempt by the balancer's own deadline, and records every exit. It never retries: who knows what the
 * request is decides that, and asks again with `after`. It has no span of its own, which would cost more than all of
 * this; the spans and log lines inside an attempt name the service and the instance.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type * as Core from "@muster/core/Attempt"
import * as DiscoveryState from "@muster/core/DiscoveryState"
import type { Endpoint, ServiceName } from "@muster/core/Endpoint"
import type { Health } from "@muster/core/Health"
import * as Explain from "@muster/core/Explain"
import type { LoadReport } from "@muster/core/LoadReport"
import * as Outcome from "@muster/core/Outcome"
import * as Policy from "@muster/core/Policy"
import type * as Roster from "@muster/core/Roster"
import {
  AllExcluded,
  BalancerError,
  type BalancerErrorReason,
  BudgetSpent,
  DeadlineExceeded,
  NoInstance,
  NotLoaded,
  RegistryFailed
} from "./BalancerError.ts"
import * as Deadline from "./Deadline.ts"
import type { Discovery } from "./Discovery.ts"
import * as Alarms from "./internal/alarms.ts"
import * as Attempting from "./internal/attempting.ts"
import * as Actor from "./internal/balancerActor.ts"
import * as Report from "./internal/balancerReport.ts"
import * as Given from "./internal/given.ts"
import { describe } from "./internal/discoveryReport.ts"

/**
 * One request on its way to an instance.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attempt {
  /** What the roster of the service knows of it. */
  readonly picked: Core.Attempt
  /** How long it may take: what `Policy.Attempt` allows, or what the deadline of the caller leaves if that is less. */
  readonly time: Duration.Duration
  /**
   * Takes note of what the instance said of its own load with its answer.
   */
  readonly note: (report: LoadReport) => void
  /**
   * Keeps the request in flight after it has succeeded, because its answer is still arriving. The function must be
   * called once that is over, with `true` if the answer broke off; calling it again does nothing.
   */
  readonly hold: () => (isBroken: boolean) => void
}

/**
 * What the balancer should know about a request.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<A, E> {
  /**
   * What an exit says about the instance. Default: a failure failed; a defect says as little as an interruption.
   */
  readonly classify?: ((exit: Exit.Exit<A, E | BalancerError>) => Outcome.Outcome) | undefined
  /**
   * Whether the request is sent again if it fails: such requests find out first whether an ejected instance is well.
   * Default: no.
   */
  readonly isRepeatable?: boolean | undefined
  /** Other attempts of the same request: their instances are left out, and the retry budget pays. */
  readonly after?: ReadonlyArray<Attempt> | undefined
  /** Whether the last of them is still on its way. Default: no. */
  readonly isHedge?: boolean | undefined
  /** Requests with the same key belong to the same instance, where the policy minds (`Pick.ringHash`). Default: none. */
  readonly key?: string | undefined
  /** What the attempt is provided with, given what is around it; asked once for each context. Default: that. */
  readonly provide?: (<R>(around: Context.Context<R>) => Context.Context<R>) | undefined
}

/**
 * How an instance stands with this client.
 *
 * @category models
 * @since 0.1.0
 */
export interface Status {
  readonly endpoint: Endpoint
  readonly health: Health
  readonly requestsInFlight: number
}

/**
 * Chooses instances and learns from how it went.
 *
 * @category services
 * @since 0.1.0
 */
export class Balancer extends Context.Service<
  Balancer,
  {
    /**
     * Runs `f` with an instance of the service and records how it went, whatever the exit. An attempt that takes longer
     * than `Policy.Attempt` allows is interrupted and fails. Without an instance it waits as long as
     * `Policy.WaitForInstance` says; zero makes it fail at once. Neither outlasts `Deadline.within`.
     */
    readonly use: <A, E, R>(
      service: ServiceName,
      f: (endpoint: Endpoint, attempt: Attempt) => Effect.Effect<A, E, R>,
      options?: Options<A, E> | undefined
    ) => Effect.Effect<A, E | BalancerError, R>
    /** How each known instance of a service stands; empty for a service that is not in use. */
    readonly status: (service: ServiceName) => Effect.Effect<ReadonlyArray<Status>>
    /**
     * The time within which this share of the answers comes, or `undefined` until enough have come since it was first
     * asked for.
     */
    readonly percentile: (service: ServiceName, share: number) => Effect.Effect<Duration.Duration | undefined>
    /**
     * Why each instance of a service is in or out, what it costs, and how the last choices came about. Looking changes
     * no choice. `undefined` for a service that is not in use.
     */
    readonly explain: (service: ServiceName) => Effect.Effect<Explain.Explanation | undefined>
    /** What happens to instances from now on: who joins and leaves, is taken out, probed, and used again. */
    readonly events: Stream.Stream<Roster.Event>
  }
>()("@muster/runtime/Balancer") {}

/** So many events may wait for their log line, and for a slow reader; the oldest go first. */
const remembered = 4096

/**
 * The balancer over Discovery.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Balancer, never, Discovery> = Layer.effect(
  Balancer,
  Effect.gen(function* () {
    const heard = yield* Queue.sliding<Roster.Event>(remembered)
    const events = yield* PubSub.sliding<Roster.Event>(remembered)
    const make = yield* Actor.factory((event) => Queue.offerUnsafe(heard, event))
    const fork = yield* FiberMap.makeRuntime<never, ServiceName, void>()
    const arm = yield* Alarms.make
    const given = yield* Given.around(Context.pick(Policy.Attempt, Policy.WaitForInstance))
    const actors = new Map<ServiceName, Actor.BalancerActor>()

    // A logger that dies must not end the reports of everybody else.
    yield* Queue.take(heard).pipe(
      Effect.flatMap((event) => Effect.exit(Effect.ensuring(Report.log(event), PubSub.publish(events, event)))),
      Effect.forever,
      Effect.forkScoped
    )

    const open = (service: ServiceName): Actor.BalancerActor => {
      const actor = make(service)
      const forget = () => {
        actors.delete(service)
        actor.detach()
      }
      actors.set(service, actor)
      const running = fork(service, Effect.ensuring(actor.run, Effect.sync(forget)))
      // Once the layer is released nothing runs any more: whoever still asks is told, and waits for nobody.
      if (running.pollUnsafe() !== undefined) forget()
      return actor
    }

    const use = <A, E, R>(
      service: ServiceName,
      f: (endpoint: Endpoint, attempt: Attempt) => Effect.Effect<A, E, R>,
      options: Options<A, E> = {}
    ): Effect.Effect<A, E | BalancerError, R> => {
      const after = options.after?.map(({ picked }) => picked) ?? []
      const attempt = (waited?: Duration.Duration): Effect.Effect<A, E | BalancerError, R> =>
        Effect.contextWith((context: Context.Context<R>) =>
          Effect.callback<A, E | BalancerError, R>((resume) => {
            const actor = actors.get(service) ?? open(service)
            const left = Deadline.left(context)
            if (left === 0) {
              const isNobody = waited !== undefined && actor.status().length === 0
              return resume(fail(service, tooLate(isNobody ? whyNobody(actor, waited) : undefined)))
            }
            const surroundings = actor.surroundings.of(context, options.provide)
            if (after.length > 0 && !actor.mayRetry()) return resume(fail(service, budgetSpent))
            const picked = actor.pick(options.isRepeatable ?? false, after, options.key)
            if (picked !== undefined) {
              if (after.length > 0) actor.retried(options.isHedge ?? false)
              const deadline = Attempting.deadlineOf(Context.get(context, Policy.Attempt).deadline, left)
              const classify = options.classify ?? whatItSays
              const provided = actor.surroundings.on(surroundings, picked.member.id)
              return Attempting.begin({ actor, picked, arm, deadline, context: provided, f, classify }, resume)
            }
            if (after.length > 0) {
              actor.notRetried()
              return resume(fail(service, allExcluded(actor.excluded(after))))
            }
            if (waited !== undefined) return resume(fail(service, whyNobody(actor, waited)))
            const patience = Duration.min(Context.get(context, Policy.WaitForInstance), Duration.millis(left))
            return resume(Effect.flatMap(waitFor(actor, patience), () => attempt(patience)))
          })
        )
      return given(attempt())
    }

    return Balancer.of({
      use,
      status: (service) => Effect.sync(() => actors.get(service)?.status() ?? []),
      percentile: (service, share) =>
        Effect.sync(() => {
          const millis = actors.get(service)?.percentile(share)
          return millis === undefined ? undefined : Duration.millis(millis)
        }),
      explain: (service) => Effect.sync(() => actors.get(service)?.explain()),
      events: Stream.fromPubSub(events)
    })
  })
)

/** A failure is the instance's; an interruption or a defect says nothing about it. */
const whatItSays = (exit: Exit.Exit<unknown, unknown>): Outcome.Outcome =>
  Exit.isSuccess(exit) ? Outcome.succeeded : Cause.hasFails(exit.cause) ? Outcome.failed : Outcome.interrupted

/** Waits for somebody to choose, and makes discovery start over if it gave up. */
const waitFor = (actor: Actor.BalancerActor, patience: Duration.Duration) =>
  Effect.gen(function* () {
    yield* actor.attached
    if (actor.isDetached()) return
    yield* actor.subscription()?.retry ?? Effect.void
    yield* Effect.timeoutOption(actor.pickable, patience)
  }).pipe(actor.whileWaiting)

const fail = (service: ServiceName, reason: BalancerErrorReason) => Effect.fail(new BalancerError({ service, reason }))

const whyNobody = (actor: Actor.BalancerActor, patience: Duration.Duration): BalancerErrorReason => {
  if (actor.isDetached()) return released
  const state = actor.subscription()?.current() ?? DiscoveryState.initial
  const waited = Duration.toMillis(patience) > 0 ? ` within ${Duration.format(patience)}` : ""
  const because = "cause" in state && state.cause !== undefined ? ` (${describe(state.cause)})` : ""
  switch (state._tag) {
    case "Loading":
      return new NotLoaded({
        message: `the registry has not answered${waited}${because}; is it running and reachable?`
      })
    case "Failed":
      return new RegistryFailed({
        message: `discovery gave up on the registry${because}; it is asked again with each request`
      })
    default:
      return new NoInstance({
        message: `the registry lists no instance${waited}; is one running, and registered under this name?`,
        excluded: actor.excluded([])
      })
  }
}

const allExcluded = (excluded: ReadonlyArray<Explain.Excluded>) =>
  new AllExcluded({ message: `there is no instance left to try: ${inWords(excluded)}`, excluded })

const inWords = (excluded: ReadonlyArray<Explain.Excluded>): string =>
  excluded.map(({ address, id, why }) => `${id} (${address}) ${Explain.describe(why)}`).join(", ")

const released = new NotLoaded({
  message: "the balancer has been released; keep its layer open while requests are sent"
})

const budgetSpent = new BudgetSpent({
  message: "not tried elsewhere: there are too many retries already; the service is in trouble"
})

const tooLate = (why: BalancerErrorReason | undefined) =>
  new DeadlineExceeded({
    message: `no instance was asked: the deadline of the caller is over${why === undefined ? "" : `, and ${why.message}`}`
  })
