/**
 * Where the registration of one instance stands: the states, the events, and the pure `step` between them.
 *
 * A lease is lost only by our own monotonic deadline (last answer + time to live) or by the registry's word; a lost one
 * is tried again before a new one is granted, because a restarted registry may have kept it. `Fenced` and `Withdrawn`
 * are final: an instance that a later process claimed never comes back, and nothing registers after the withdrawal.
 *
 * ```
 *             GrantStarted Granted     GrantFailed    RenewStarted Renewed    RenewFailed    EntryMissing LeaseLost Superseded DrainStarted DrainFailed Withdrew
 * Idle        Granting(1)  ·           ·              ·            ·          ·              ·            ·         ·          Withdrawn    ·           Withdrawn
 * Granting(n) ·            Registered  Granting(n+1)  ·            ·          ·              ·            Granting  Fenced     Draining     ·           Withdrawn
 * Registered  ·            ·           ·              Renewing(0)  ·          ·              Granting(1)  Lost      Fenced     Draining     ·           Withdrawn
 * Renewing(k) ·            ·           ·              ·            Registered Renewing(k+1)  Granting(1)  Lost      Fenced     Draining     ·           Withdrawn
 * Lost        Granting(1)  ·           ·              ·            Registered ·              ·            ·         Fenced     Draining     ·           Withdrawn
 * Draining    ·            ·           ·              ·            ·          ·              ·            ·         ·          ·            ·           Withdrawn
 * Fenced      ·            ·           ·              ·            ·          ·              ·            ·         ·          Withdrawn    ·           Withdrawn
 * Withdrawn   ·            ·           ·              ·            ·          ·              ·            ·         ·          ·            ·           ·
 * ```
 */
import * as Schema from "effect/Schema"
import { RegistryError } from "./RegistryError.ts"

/** Milliseconds since the start of the log, on a monotonic clock. */
const at = Schema.Finite

const error = RegistryError

/**
 * Everything that can happen to a registration. `at` is in milliseconds since the start of the log.
 *
 * @category models
 * @since 0.1.0
 */
export const Event = Schema.TaggedUnion({
  /** A lease and an entry are being asked for. */
  GrantStarted: { at },
  /** The registry has the entry since `at` or later; `ttl` is what it granted, in milliseconds. */
  Granted: { at, lease: Schema.String, ttl: Schema.Finite },
  /** The registry did not take the entry. */
  GrantFailed: { at, error },
  /** A renewal is being sent. */
  RenewStarted: { at },
  /** The registry confirmed lease and entry, at `at` or later. */
  Renewed: { at },
  /** A renewal was not confirmed; the lease may still live. */
  RenewFailed: { at, error },
  /** The lease lives, the entry is gone. */
  EntryMissing: { at },
  /** The lease is gone, by the registry's word or because its time to live passed without an answer. */
  LeaseLost: { at },
  /** A process that started later owns the instance id. */
  Superseded: { at },
  /** The server is about to stop. */
  DrainStarted: { at },
  /** The registry could not be told that the instance is draining. */
  DrainFailed: { at, error },
  /** The entry is gone for good, or nobody waits for that any longer. */
  Withdrew: { at }
})

/**
 * Everything that can happen to a registration.
 *
 * @category models
 * @since 0.1.0
 */
export type Event = typeof Event.Type

/**
 * What the registry granted: the lease, its time to live in milliseconds, and when the registry last confirmed it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Granted {
  readonly lease: string
  readonly ttl: number
  readonly confirmedAt: number
}

/**
 * Where the registration of one instance stands.
 *
 * @category states
 * @since 0.1.0
 */
export type RegistrationState =
  /** Not asked for yet. */
  | { readonly _tag: "Idle" }
  /** Asking; `attempt` counts from 1. */
  | { readonly _tag: "Granting"; readonly attempt: number; readonly error: RegistryError | undefined }
  /** In the registry, until `confirmedAt + ttl` at least. */
  | ({ readonly _tag: "Registered" } & Granted)
  /** Asking for another time to live; `failures` in a row so far. */
  | ({ readonly _tag: "Renewing"; readonly failures: number } & Granted)
  /** The lease ran out; the same one is tried first. */
  | { readonly _tag: "Lost"; readonly lease: string; readonly ttl: number; readonly since: number }
  /** Leaving: told to the registry, still serving. `lease` is undefined when there is none. */
  | { readonly _tag: "Draining"; readonly lease: string | undefined; readonly since: number }
  /** A later process owns the id; final but for the withdrawal. */
  | { readonly _tag: "Fenced"; readonly since: number }
  /** Gone; absorbs everything. */
  | { readonly _tag: "Withdrawn" }

/**
 * Where every log begins.
 *
 * @category constructors
 * @since 0.1.0
 */
export const initial: RegistrationState = { _tag: "Idle" }

/**
 * When a lease without an answer is lost, in milliseconds since the start of the log; `undefined` without a lease.
 *
 * @category getters
 * @since 0.1.0
 */
export const deadline = (state: RegistrationState): number | undefined =>
  state._tag === "Registered" || state._tag === "Renewing" ? state.confirmedAt + state.ttl : undefined

/**
 * The transition function: the next state, or the same reference where the event means nothing.
 *
 * @category transitions
 * @since 0.1.0
 */
export const step = (state: RegistrationState, event: Event): RegistrationState => {
  if (state._tag === "Withdrawn") return state
  if (event._tag === "Withdrew") return { _tag: "Withdrawn" }
  switch (state._tag) {
    case "Idle":
      return stepIdle(state, event)
    case "Draining":
      return state
    case "Fenced":
      return event._tag === "DrainStarted" ? { _tag: "Withdrawn" } : state
    default:
      return stepClaiming(state, event)
  }
}

type State<Tag extends RegistrationState["_tag"]> = Extract<RegistrationState, { readonly _tag: Tag }>

const stepIdle = (state: State<"Idle">, event: Event): RegistrationState => {
  switch (event._tag) {
    case "GrantStarted":
      return { _tag: "Granting", attempt: 1, error: undefined }
    case "DrainStarted":
      return { _tag: "Withdrawn" }
    default:
      return state
  }
}

/** What every state that claims the id has in common, before its own edges. */
const stepClaiming = (
  state: State<"Granting" | "Registered" | "Renewing" | "Lost">,
  event: Event
): RegistrationState => {
  switch (event._tag) {
    case "Superseded":
      return { _tag: "Fenced", since: event.at }
    case "DrainStarted":
      return { _tag: "Draining", lease: state._tag === "Granting" ? undefined : state.lease, since: event.at }
    default:
      break
  }
  switch (state._tag) {
    case "Granting":
      return stepGranting(state, event)
    case "Lost":
      return stepLost(state, event)
    default:
      return stepGranted(state, event)
  }
}

const stepGranting = (state: State<"Granting">, event: Event): RegistrationState => {
  switch (event._tag) {
    case "Granted":
      return { _tag: "Registered", lease: event.lease, ttl: event.ttl, confirmedAt: event.at }
    case "GrantFailed":
      return { _tag: "Granting", attempt: state.attempt + 1, error: event.error }
    default:
      return state
  }
}

const stepGranted = (state: State<"Registered" | "Renewing">, event: Event): RegistrationState => {
  const { lease, ttl, confirmedAt } = state
  switch (event._tag) {
    case "RenewStarted":
      return state._tag === "Registered" ? { _tag: "Renewing", failures: 0, lease, ttl, confirmedAt } : state
    case "Renewed":
      return state._tag === "Renewing" ? { _tag: "Registered", lease, ttl, confirmedAt: event.at } : state
    case "RenewFailed":
      return state._tag === "Renewing" ? { ...state, failures: state.failures + 1 } : state
    case "EntryMissing":
      return { _tag: "Granting", attempt: 1, error: undefined }
    case "LeaseLost":
      return { _tag: "Lost", lease, ttl, since: event.at }
    default:
      return state
  }
}

const stepLost = (state: State<"Lost">, event: Event): RegistrationState => {
  switch (event._tag) {
    case "GrantStarted":
      return { _tag: "Granting", attempt: 1, error: undefined }
    case "Renewed":
      return { _tag: "Registered", lease: state.lease, ttl: state.ttl, confirmedAt: event.at }
    default:
      return state
  }
}
