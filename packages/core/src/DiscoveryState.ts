/**
 * What one client knows of one service: the states, the events, and the pure `step` between them.
 *
 * Once there is a snapshot no failure of the registry takes an endpoint away: `Disconnected` never changes it.
 * Folding a recorded log of events again gives every state again. A pair without an edge returns the same reference.
 *
 * ```
 *            AttemptStarted  Reset           Changed  Resumed  Disconnected       Remembered       Unreachable  Ticked  GaveUp
 * Loading    Loading(n+1)    Live            ·        ·        Loading(cause)     Frozen(savedAt)  ·            ·       Failed
 * Live       ·               Live, guarded   Live     ·        Frozen(at, cause)  ·                held leaves  expire  ·
 * Frozen     Resyncing       ·**             ·        ·        Frozen(new cause)  ·                held leaves  expire  Failed
 * Resyncing  ·               Live, guarded*  ·        Live     Frozen(since kept) ·                held leaves  expire  Failed
 * Failed     Loading(1)      ·               ·        ·        ·                  ·                ·            ·       ·
 *                            * not guarded after a remembered snapshot
 *                            ** Live after a remembered snapshot: it is found while the watch is already open
 * ```
 */
import * as Schema from "effect/Schema"
import { Change, type Cursor, type Skipped } from "./Change.ts"
import { Endpoint, InstanceId } from "./Endpoint.ts"
import * as Guard from "./Guard.ts"
import { RegistryError } from "./RegistryError.ts"

/**
 * Why the registry is not being followed.
 *
 * @category models
 * @since 0.1.0
 */
export const Cause = Schema.TaggedUnion({
  /** The registry said so. */
  Failed: { error: RegistryError },
  /** The stream came to its end. */
  Ended: {},
  /** Nobody was subscribed for a while, so the watch was released. */
  Idle: {},
  /** The actor died of a defect and is started again. */
  Died: { defect: Schema.String }
})

/**
 * Why the registry is not being followed.
 *
 * @category models
 * @since 0.1.0
 */
export type Cause = typeof Cause.Type

/** Milliseconds since the start of the log, on a monotonic clock. */
const at = Schema.Finite

const { _tag: _reset, ...reset } = Change.cases.Reset.fields
const { _tag: _changed, ...changed } = Change.cases.Changed.fields
const { _tag: _resumed, ...resumed } = Change.cases.Resumed.fields

/**
 * Everything that can happen to what a client knows. `at` is in milliseconds since the start of the log.
 *
 * @category models
 * @since 0.1.0
 */
export const Event = Schema.TaggedUnion({
  /** A watch is being opened. */
  AttemptStarted: { at },
  /** The registry told its whole inventory. */
  Reset: { at, ...reset },
  /** The registry told one revision. */
  Changed: { at, ...changed },
  /** The registry confirmed that nothing was missed. */
  Resumed: { at, ...resumed },
  /** The registry is not being followed any more. */
  Disconnected: { at, cause: Cause },
  /** A snapshot of an earlier run was found; `savedAt` is Unix time in milliseconds. */
  Remembered: { at, endpoints: Schema.Array(Endpoint), savedAt: Schema.Finite },
  /** A connection to this instance was refused. */
  Unreachable: { at, id: InstanceId },
  /** A hold may have run out. */
  Ticked: { at },
  /** The freeze policy came to its end. */
  GaveUp: { at }
})

/**
 * Everything that can happen to what a client knows.
 *
 * @category models
 * @since 0.1.0
 */
export type Event = typeof Event.Type

/**
 * When the data was last known to be true.
 *
 * @category models
 * @since 0.1.0
 */
export type AsOf =
  /** Followed until then: milliseconds since the start of the log. */
  | { readonly _tag: "Observed"; readonly at: number }
  /** Saved by an earlier run: Unix time in milliseconds. */
  | { readonly _tag: "Saved"; readonly savedAt: number }

/**
 * No snapshot yet; `cause` tells why the last attempt failed.
 *
 * @category states
 * @since 0.1.0
 */
export interface Loading {
  readonly _tag: "Loading"
  readonly attempt: number
  readonly cause: Cause | undefined
}

/**
 * Following the registry.
 *
 * @category states
 * @since 0.1.0
 */
export interface Live extends Guard.Guarded {
  readonly _tag: "Live"
  readonly cursor: Cursor
  readonly since: number
}

/**
 * Serving the last snapshot, waiting to try again.
 *
 * @category states
 * @since 0.1.0
 */
export interface Frozen extends Guard.Guarded {
  readonly _tag: "Frozen"
  readonly cursor: Cursor | undefined
  readonly asOf: AsOf
  readonly cause: Cause | undefined
}

/**
 * Serving the last snapshot while the registry is asked again.
 *
 * @category states
 * @since 0.1.0
 */
export interface Resyncing extends Guard.Guarded {
  readonly _tag: "Resyncing"
  readonly cursor: Cursor | undefined
  readonly asOf: AsOf
  readonly cause: Cause | undefined
}

/**
 * The freeze policy ended: nothing is served until somebody asks again.
 *
 * @category states
 * @since 0.1.0
 */
export interface Failed {
  readonly _tag: "Failed"
  readonly cause: Cause | undefined
}

/**
 * What one client knows of one service.
 *
 * @category states
 * @since 0.1.0
 */
export type DiscoveryState = Loading | Live | Frozen | Resyncing | Failed

/**
 * A state that has a snapshot to serve.
 *
 * @category states
 * @since 0.1.0
 */
export type Known = Live | Frozen | Resyncing

/**
 * Where every log begins: nothing known, nothing tried.
 *
 * @category constructors
 * @since 0.1.0
 */
export const initial: DiscoveryState = { _tag: "Loading", attempt: 0, cause: undefined }

/**
 * Whether the state has a snapshot to serve.
 *
 * @category guards
 * @since 0.1.0
 */
export const isKnown = (state: DiscoveryState): state is Known => state._tag !== "Loading" && state._tag !== "Failed"

/**
 * The transition function: the next state, or the same reference where the event means nothing.
 *
 * @category transitions
 * @since 0.1.0
 */
export const step =
  (options: Guard.Options) =>
  (state: DiscoveryState, event: Event): DiscoveryState => {
    switch (state._tag) {
      case "Loading":
        return stepLoading(state, event)
      case "Live":
        return stepLive(state, event, options)
      case "Frozen":
        return stepFrozen(state, event, options)
      case "Resyncing":
        return stepResyncing(state, event, options)
      case "Failed":
        return event._tag === "AttemptStarted" ? { _tag: "Loading", attempt: 1, cause: state.cause } : state
    }
  }

/**
 * When the data was last known to be true: now while the registry is followed, and `undefined` without data.
 *
 * @category getters
 * @since 0.1.0
 */
export const asOf = (state: DiscoveryState, now: number): AsOf | undefined =>
  state._tag === "Live" ? { _tag: "Observed", at: now } : isKnown(state) ? state.asOf : undefined

const stepLoading = (state: Loading, event: Event): DiscoveryState => {
  switch (event._tag) {
    case "AttemptStarted":
      return { ...state, attempt: state.attempt + 1 }
    case "Reset":
      return begin(lost(Guard.empty, state.cause), event)
    case "Disconnected":
      return { ...state, cause: event.cause }
    case "Remembered":
      return frozen(
        Guard.replace(lost(Guard.empty, state.cause), event.endpoints),
        undefined,
        { _tag: "Saved", savedAt: event.savedAt },
        state.cause
      )
    case "GaveUp":
      return { _tag: "Failed", cause: state.cause }
    default:
      return state
  }
}

const stepLive = (state: Live, event: Event, options: Guard.Options): DiscoveryState => {
  switch (event._tag) {
    case "Reset":
      return {
        ...Guard.reset(state, event.endpoints, unreadable(event.skipped), event.at, options),
        cursor: event.cursor
      }
    case "Changed":
      return { ...Guard.apply(state, event.deltas, event.at, options), cursor: event.cursor }
    case "Disconnected":
      return frozen(lost(state, event.cause), state.cursor, { _tag: "Observed", at: event.at }, event.cause)
    default:
      return stepHeld(state, event, options)
  }
}

const stepFrozen = (state: Frozen, event: Event, options: Guard.Options): DiscoveryState => {
  switch (event._tag) {
    case "AttemptStarted":
      return { ...state, _tag: "Resyncing" }
    case "Reset":
      return state.asOf._tag === "Saved" ? begin(state, event) : state
    case "Disconnected":
      return { ...lost(state, event.cause), cause: event.cause }
    case "GaveUp":
      return { _tag: "Failed", cause: state.cause }
    default:
      return stepHeld(state, event, options)
  }
}

const stepResyncing = (state: Resyncing, event: Event, options: Guard.Options): DiscoveryState => {
  switch (event._tag) {
    case "Reset":
      return state.asOf._tag === "Saved"
        ? begin(state, event)
        : live(
            Guard.reset(found(state, event.at), event.endpoints, unreadable(event.skipped), event.at, options),
            event
          )
    case "Resumed":
      return live(found(state, event.at), event)
    case "Disconnected":
      return frozen(lost(state, event.cause), state.cursor, state.asOf, event.cause)
    case "GaveUp":
      return { _tag: "Failed", cause: state.cause }
    default:
      return stepHeld(state, event, options)
  }
}

/** An outage of the registry, whatever else keeps us from following it meanwhile; our own absence is none. */
const lost = <S extends Guard.Guarded>(state: S, cause: Cause | undefined): S =>
  cause?._tag === "Failed" || cause?._tag === "Ended" ? Guard.doubt(state, Infinity) : state

/** After an outage the removals of the registry are doubted for a while. */
const found = <S extends Guard.Guarded>(state: S, at: number): S =>
  state.doubtedSince === Infinity ? Guard.doubt(state, at) : state

/** The first inventory is believed, however much a remembered snapshot had besides. */
const begin = (state: Guard.Guarded, event: Extract<Event, { readonly _tag: "Reset" }>): Live =>
  live(Guard.replace(found(state, event.at), event.endpoints, unreadable(event.skipped)), event)

/** What may happen to held instances in every state that has a snapshot. */
const stepHeld = <S extends Known>(state: S, event: Event, options: Guard.Options): S => {
  switch (event._tag) {
    case "Unreachable":
      return Guard.refused(state, event.id)
    case "Ticked":
      return Guard.expire(state, event.at, options)
    default:
      return state
  }
}

const live = (
  { snapshot, held, recent, draining, doubtedSince }: Guard.Guarded,
  event: { readonly at: number; readonly cursor: Cursor }
): Live => ({ _tag: "Live", snapshot, held, recent, draining, doubtedSince, cursor: event.cursor, since: event.at })

const frozen = (
  { snapshot, held, recent, draining, doubtedSince }: Guard.Guarded,
  cursor: Cursor | undefined,
  asOf: AsOf,
  cause: Cause | undefined
): Frozen => ({ _tag: "Frozen", snapshot, held, recent, draining, doubtedSince, cursor, asOf, cause })

const unreadable = (skipped: ReadonlyArray<Skipped>): ReadonlySet<InstanceId> =>
  new Set(skipped.flatMap(({ id }) => (id === undefined ? [] : [id])))
