/**
 * The story's power over its registry: to take it away and bring it back, in every way that it can be taken away, and
 * to lose everything in it.
 *
 * One file in control/ for each kind of registry. An implementation owns all that it does harm to: what it started
 * itself, or, on a registry that was running before, a proxy of its own and a random prefix or service name of its own.
 */
import type { RegistryError } from "@muster/core/RegistryError"
import type { Resolver } from "@muster/core/Resolver"
import { Context, type Effect, type Layer, type PlatformError, type Scope } from "effect"
import type { Trouble } from "../Trouble.ts"
import type { Fleet } from "./Fleet.ts"

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
    /** The service, where only its name keeps it apart from others. Default: orders. */
    readonly service?: string
    /** What servers are given, where that is another. */
    readonly serverTarget?: string
    /** How the client reads the registry, where the target does not say it all. */
    readonly resolver?: Layer.Layer<Resolver, RegistryError>
    /** Does for servers what they do themselves elsewhere: the same fleet, registered and withdrawn. */
    readonly attend?: (servers: Fleet) => Effect.Effect<Fleet, never, Scope.Scope>
    /** Each way of being taken away, gentlest first. */
    readonly outages: ReadonlyArray<Outage>
    readonly wipe: Measure
  }
>()("@muster/demo/RegistryControl") {}
