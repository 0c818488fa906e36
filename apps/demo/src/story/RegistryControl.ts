/**
 * The story's power over its registry: to take it away and bring it back, in every way that it can be taken away, and
 * to lose everything in it.
 *
 * One file in control/ for each kind of registry. An implementation owns all that it does harm to: what it started
 * itself, or, on a registry that was running before, a proxy of its own and a random prefix of its own.
 */
import { Context, type Effect, type PlatformError } from "effect"
import type { Trouble } from "../Trouble.ts"

/** Something that is done to the registry. */
export interface Measure {
  /** What it is, for the one who watches. */
  readonly says: string
  readonly done: Effect.Effect<void, Trouble | PlatformError.PlatformError>
}

/** One way of being away. */
export interface Outage {
  readonly takeAway: Measure
  readonly bringBack: Measure
}

export class RegistryControl extends Context.Service<
  RegistryControl,
  {
    /** Its name in the report. */
    readonly name: string
    /** What servers and clients are given. */
    readonly target: string
    /** Each way of being taken away, gentlest first. */
    readonly outages: ReadonlyArray<Outage>
    readonly wipe: Measure
  }
>()("@muster/demo/RegistryControl") {}
