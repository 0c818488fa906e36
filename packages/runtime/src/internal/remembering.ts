/**
 * What the actor of a service does about the next run and the one before: `keep` writes the snapshot down now and then
 * while the registry is followed, `recall` serves from the last one while the registry does not answer.
 *
 * Both are beside the following of the registry and never in its way: nothing that the store does delays a change, and
 * nothing that it says or fails to say is fatal.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as State from "@muster/core/DiscoveryState"
import type { ServiceName } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import * as Remembered from "@muster/core/Remembered"
import type { Snapshot } from "@muster/core/Snapshot"
import type { TextStore } from "../Discovery.ts"
import type { StateCell } from "./stateCell.ts"

/** What the fibers need to know of their actor. */
interface Actor {
  readonly registry: string
  readonly service: ServiceName
  readonly cell: StateCell<State.DiscoveryState>
  readonly now: () => number
  readonly dispatch: (event: State.Event) => Effect.Effect<void>
}

/** Reads the policy once and gives, for each actor, the two fibers to run beside its others. */
export const factory = Effect.fnUntraced(function* (store: TextStore | undefined) {
  const policy = yield* Policy.Remember
  return (actor: Actor) => (store === undefined ? Effect.void : both(store, policy, actor))
})

type Options = (typeof Policy.Remember)["Service"]

/** Whether the registry may still be about to give its first answer. */
const isPatient = (state: State.DiscoveryState) => state._tag === "Loading" && state.cause === undefined

const both = (store: TextStore, policy: Options, { cell, dispatch, now, registry, service }: Actor) => {
  const key = Remembered.key(registry, service)
  let isFailing = false

  const unlessItFails = (what: string, effect: Effect.Effect<void, unknown>) =>
    Effect.timeout(effect, policy.deadline).pipe(
      Effect.andThen(Effect.sync(() => (isFailing = false))),
      Effect.catchCause((cause) => {
        if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
        const isNew = !isFailing
        isFailing = true
        return isNew ? Effect.logWarning(`${what}: ${Cause.pretty(cause)}`) : Effect.void
      })
    )

  const use = Effect.gen(function* () {
    const text = yield* store.get(key)
    if (text === undefined) return
    const wall = yield* Clock.currentTimeMillis
    const read = Remembered.fromText(text, registry, service, wall, policy.maxAge)
    if (read._tag === "Failure") return yield* Effect.logWarning(`the remembered snapshot is not used: ${read.failure}`)
    const { endpoints, savedAt } = read.success
    if (endpoints.length > 0) yield* dispatch({ _tag: "Remembered", at: now(), endpoints, savedAt })
  })

  /** Waits until the registry has answered, has failed, or has had time enough. */
  const recall = Stream.runHead(Stream.filter(cell.changes, (state) => !isPatient(state))).pipe(
    Effect.timeoutOption(policy.headStart),
    Effect.andThen(
      Effect.suspend(() =>
        cell.get()._tag === "Loading" ? unlessItFails("the remembered snapshot is not used", use) : Effect.void
      )
    )
  )

  let kept: Snapshot | undefined

  const write = Effect.gen(function* () {
    const state = cell.get()
    if (!State.isKnown(state)) return
    const remembered = Remembered.of(registry, service, state, now(), yield* Clock.currentTimeMillis)
    if (remembered === undefined) return
    kept = state.snapshot
    yield* store.set(key, Remembered.toText(remembered))
  })

  const save = unlessItFails("the snapshot is not kept for the next run", write)

  const isNews = (state: State.DiscoveryState) => state._tag === "Live" && state.snapshot !== kept

  const keep = Stream.runHead(Stream.filter(cell.changes, isNews)).pipe(
    Effect.timeoutOption(policy.atLeastEvery),
    Effect.andThen(Effect.suspend(() => (cell.get()._tag === "Live" ? save : Effect.void))),
    Effect.andThen(Effect.sleep(Duration.min(policy.atMostEvery, policy.atLeastEvery))),
    Effect.forever,
    Effect.onInterrupt(() => save)
  )

  return Effect.asVoid(Effect.all([recall, keep], { concurrency: "unbounded", discard: true }))
}
