/**
 * The actor that keeps one instance registered: one loop with one named effect for each state, and one way to leave.
 *
 * The loop only obtains an event, stamps it, and dispatches it: the pure machine in `RegistrationState` decides.
 * Everything that the loop does follows from the state and the lease it holds, so one that died of a defect goes on
 * where it stopped. Leaving is bounded: a registry that hangs cannot hold up the exit.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { Endpoint } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import * as State from "@muster/core/RegistrationState"
import type { Lease } from "@muster/core/Registry"
import type { RegistryError } from "@muster/core/RegistryError"
import { pauses } from "./pauses.ts"
import * as Report from "./registrationReport.ts"
import * as Calls from "./registryCalls.ts"
import * as StateCell from "./stateCell.ts"

/** Into how many beats the time between two renewals is divided: renewals are early by one at most, three hundredths. */
const beats = 32

/** Registers `endpoint` once each of `conditions` in turn has said yes, and withdraws it when the scope closes. */
export const run = Effect.fnUntraced(function* (
  endpoint: Endpoint,
  conditions: ReadonlyArray<Effect.Effect<boolean>>,
  record: (event: State.Event) => void
) {
  const clock = yield* Clock.Clock
  const calls = yield* Calls.make(endpoint)
  const report = Report.make(endpoint)
  const { ttl, renewAfter } = yield* Policy.Lease
  const { wait, withdrawal } = yield* Policy.Drain
  const restart = yield* Policy.Restart
  const reregister = yield* Policy.Reregister
  const askingAgain = yield* pauses(yield* Policy.Readiness, report.gaveUp("Readiness"))
  /** Between calls that the registry did not answer; and, apart from that, before each new lease after a lost one. */
  const tryingAgain = yield* pauses(reregister, report.gaveUp("Reregister"))
  /** The same for a lease that there is: it is never given up, because its pauses are bounded. */
  const renewingAgain = yield* pauses(reregister, Effect.void)
  const startingOver = yield* pauses(reregister, report.gaveUp("Reregister"))
  /** Leaving may have to wait for three calls: a registration in flight, the announcement, the withdrawal. */
  const share = Duration.toMillis(withdrawal) / 3

  const cell = StateCell.make(State.initial)
  const startedAt = clock.monotonicTimeNanosUnsafe()
  /** The same moment on the clock that all share, in milliseconds. */
  const zero = Number(startedAt) / 1e6
  /** What the registry granted last: the state knows its id, the calls need all of it. */
  let held: Lease | undefined
  /** The signal of that lease; heard once, because a completed one would be heard for ever. */
  let lost: Effect.Effect<RegistryError> = Effect.never
  /** The registration in flight, if any. */
  let claiming: Fiber.Fiber<void> | undefined
  /** What is registered, and when it was first refused because a later process has the id. */
  let claimed = endpoint
  let refusedAt: number | undefined

  const now = () => Number(clock.monotonicTimeNanosUnsafe() - startedAt) / 1e6
  /** Timers are a millisecond fine: a moment that is closer than that has come. */
  const isPast = (at: number) => at - now() < 1
  const sleepUntil = (at: number) => Effect.suspend(() => Effect.sleep(Duration.millis(Math.max(0, at - now()))))

  const dispatch = (event: State.Event) =>
    Effect.withFiber(({ context }) => {
      record(event)
      const before = cell.get()
      const after = State.step(before, event)
      cell.set(after)
      return report.happened(event, before, after, context)
    })

  /** Idle: not before requests are really answered. */
  const begin = Effect.gen(function* () {
    for (const condition of conditions) {
      for (let asked = 0; !(yield* condition); asked++) {
        if (asked === 0) yield* report.waiting
        yield* askingAgain.pause
      }
    }
    yield* dispatch({ _tag: "GrantStarted", at: now() })
  })

  /**
   * Somebody who started later has the id. After the wall clock stepped back that may be our own predecessor: certainly,
   * if he is at the address at which we answer, and we start after him; perhaps, as long as his lease may only be
   * running out. Nobody who was ever registered yields to a predecessor: he is fenced for good.
   */
  const yieldTo = (error: RegistryError, by: Endpoint | undefined): Effect.Effect<void> => {
    if (held !== undefined) return dispatch({ _tag: "Superseded", at: now() })
    if (by?.address === endpoint.address && claimed === endpoint) {
      claimed = new Endpoint({ ...endpoint, startedAt: by.startedAt + 1 })
      return claim
    }
    refusedAt ??= now()
    return isPast(refusedAt + Duration.toMillis(ttl) * (1 + renewAfter))
      ? dispatch({ _tag: "Superseded", at: now() })
      : dispatch({ _tag: "GrantFailed", at: now(), error })
  }

  /** Registered since it was asked for: a lease may run from then on, however long the rest took. */
  const claim: Effect.Effect<void> = Effect.suspend(() => {
    const at = now()
    return Effect.matchEffect(calls.register(claimed, ttl), {
      onSuccess: (lease) => {
        held = lease
        lost = lease.lost
        return dispatch({ _tag: "Granted", at, lease: lease.id, ttl: Duration.toMillis(lease.ttl) })
      },
      onFailure: (error) =>
        error.reason._tag === "Superseded"
          ? yieldTo(error, error.reason.by)
          : dispatch({ _tag: "GrantFailed", at: now(), error })
    })
  })

  /**
   * Granting: the same id again and again, so that a lost answer never makes two of us. In a fiber of its own:
   * interrupted half-way, a registration may leave a ghost that nobody knows the lease of.
   */
  const grant = Effect.gen(function* () {
    claiming = yield* Effect.forkDetach(
      Effect.ensuring(
        claim,
        Effect.sync(() => (claiming = undefined))
      )
    )
    yield* Fiber.join(claiming)
    if (cell.get()._tag === "Granting") yield* tryingAgain.pause
  })

  /**
   * When to renew: at a beat that all registrations of a time to live keep in common, the last one before their share of
   * it has passed. A thousand of them wake the process thirty times in a third of its time to live, not a thousand times.
   */
  const dueOf = ({ confirmedAt, ttl }: State.Granted) => {
    const beat = (ttl * renewAfter) / beats
    const due = confirmedAt + ttl * renewAfter
    if (due === Infinity) return due
    const past = (due + zero) % beat
    return beat - past < 1 ? due : due - past
  }

  /** Registered: until the renewal is due, or the back end hears that the lease is gone. */
  const rest = (state: State.Granted) => {
    const due = sleepUntil(dueOf(state))
    // Most back ends never tell, and then there is nothing to race.
    if (lost === Effect.never) return Effect.flatMap(due, beginRenewal)
    const heard = Effect.onExit(lost, (exit) =>
      Effect.sync(() => {
        if (!Exit.hasInterrupts(exit)) lost = Effect.never
      })
    )
    return Effect.flatMap(Effect.raceFirst(due, heard), (error) =>
      error === undefined ? beginRenewal() : dispatch({ _tag: Calls.verdict(error) ?? "LeaseLost", at: now() })
    )
  }

  const beginRenewal = () => {
    const renewing = dispatch({ _tag: "RenewStarted", at: now() })
    const paused = [tryingAgain, renewingAgain, startingOver].filter(({ isFresh }) => !isFresh())
    if (paused.length === 0) return renewing
    return Effect.andThen(
      Effect.forEach(paused, ({ reset }) => reset),
      renewing
    )
  }

  /** Short against the time to live however long the outage, so that its end is not slept through. */
  const pauseBriefly = (ttl: number) =>
    Effect.suspend(() => Effect.raceFirst(renewingAgain.pause, sleepUntil(now() + ttl * renewAfter * renewAfter)))

  /**
   * Renewing: until our own deadline. Past it already, as after a suspend, one answer of the registry decides.
   */
  const renew = (state: State.Granted) => {
    const deadline = state.confirmedAt + state.ttl
    const at = now()
    return Effect.matchEffect(calls.renew(held, isPast(deadline) ? undefined : deadline - at), {
      onSuccess: () => dispatch({ _tag: "Renewed", at }),
      onFailure: (error) => notRenewed(error, state.ttl, deadline)
    })
  }

  const notRenewed = Effect.fnUntraced(function* (error: RegistryError, ttl: number, deadline: number) {
    const verdict = Calls.verdict(error)
    if (verdict !== undefined) {
      yield* dispatch({ _tag: verdict, at: now() })
      return yield* verdict === "EntryMissing" ? startingOver.pause : Effect.void
    }
    yield* dispatch({ _tag: "RenewFailed", at: now(), error })
    yield* Effect.raceFirst(pauseBriefly(ttl), sleepUntil(deadline))
    if (isPast(deadline)) yield* dispatch({ _tag: "LeaseLost", at: now() })
  })

  /** Lost: the same lease for as long as the registry does not answer; a new one once it says that the lease is gone. */
  const recover = Effect.fnUntraced(function* ({ ttl }: { readonly ttl: number }) {
    const at = now()
    const answer = yield* Effect.result(calls.renew(held))
    if (answer._tag === "Success") return yield* dispatch({ _tag: "Renewed", at })
    if (Calls.verdict(answer.failure) === "Superseded") return yield* dispatch({ _tag: "Superseded", at: now() })
    if (answer.failure.isTransient) return yield* pauseBriefly(ttl)
    yield* startingOver.pause
    yield* dispatch({ _tag: "GrantStarted", at: now() })
  })

  const loop = Effect.gen(function* () {
    while (true) {
      const state = cell.get()
      switch (state._tag) {
        case "Idle":
          yield* begin
          break
        case "Granting":
          yield* grant
          break
        case "Registered":
          yield* rest(state)
          break
        case "Renewing":
          yield* renew(state)
          break
        case "Lost":
          yield* recover(state)
          break
        default:
          return
      }
    }
  })

  const life = loop.pipe(
    // Also where somebody whom it asked was interrupted; who interrupts the loop itself gets past this.
    Effect.catchCause((cause) => Effect.andThen(report.died(Cause.pretty(cause)), Effect.fail("died" as const))),
    Effect.retry(restart),
    Effect.catch(() => report.stopped)
  )

  /** A registration in flight is waited for, so that it can be withdrawn instead of staying behind as a ghost. */
  const settle = Effect.suspend(() => {
    const inFlight = claiming
    if (inFlight === undefined) return Effect.void
    return Fiber.await(inFlight).pipe(
      Effect.timeoutOption(Duration.millis(share)),
      Effect.andThen(Effect.sync(() => inFlight.interruptUnsafe()))
    )
  })

  /** Serves on while clients hear of the draining; the lease is kept, so that a long wait does not end as an expiry. */
  const linger = (lease: Lease) => {
    const every = Duration.millis(Duration.toMillis(lease.ttl) * renewAfter)
    const keep = Effect.forever(Effect.andThen(Effect.sleep(every), Effect.exit(calls.renew(lease))))
    return Effect.raceFirst(Effect.sleep(wait), keep)
  }

  const leave = Effect.gen(function* () {
    yield* settle
    yield* dispatch({ _tag: "DrainStarted", at: now() })
    if (cell.get()._tag !== "Draining" || held === undefined) return
    yield* calls
      .announceDraining(held, share)
      .pipe(Effect.catch((error) => dispatch({ _tag: "DrainFailed", at: now(), error })))
    yield* linger(held)
    yield* calls.revoke(held, share).pipe(Effect.andThen(report.revoked), Effect.catch(report.notRevoked))
  })

  /** Both fibers are detached and not waited for beyond the bound: a call that cannot be interrupted must not hang us. */
  yield* Effect.acquireRelease(Effect.forkDetach(life), (living) =>
    Effect.gen(function* () {
      living.interruptUnsafe()
      const leaving = yield* Effect.forkDetach(leave)
      yield* Effect.timeoutOption(Fiber.await(leaving), Duration.sum(wait, withdrawal))
      leaving.interruptUnsafe()
      yield* dispatch({ _tag: "Withdrew", at: now() })
    })
  ).pipe(Effect.annotateLogs(calls.attributes))

  return cell
})
