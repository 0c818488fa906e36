/**
 * The write port: how a server puts itself into a registry, stays there, and leaves.
 *
 * An entry lives as long as its lease. Every call has a deadline of its own and fails with a typed reason; a retried
 * call never leaves a second entry behind. A read-only back end provides no Registry, so a server that needs one does
 * not compile with it.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { Endpoint } from "./Endpoint.ts"
import type { RegistryError } from "./RegistryError.ts"

/**
 * A registration that lives until its time to live passes without a renewal.
 *
 * @category models
 * @since 0.1.0
 */
export interface Lease {
  /** The registry's name for it. */
  readonly id: string
  /** The time to live that the registry granted, which may be longer than what was asked for. */
  readonly ttl: Duration.Duration
  /** The endpoint as it was registered: its service and id are the key of the entry. */
  readonly endpoint: Endpoint
  /** Completes when the back end learns between two renewals that the lease or its entry is gone; may never complete. */
  readonly lost: Effect.Effect<RegistryError>
}

/**
 * The write port of a registry.
 *
 * @category services
 * @since 0.1.0
 */
export class Registry extends Context.Service<
  Registry,
  {
    /** The registry as a target, for logs, metrics and errors. */
    readonly registry: string
    /**
     * Grants a lease and puts the entry. An older entry under the same id is replaced in one step, without a moment
     * of absence; fails with `Superseded` when an entry with a later `startedAt` holds the id.
     */
    readonly register: (endpoint: Endpoint, ttl: Duration.Duration) => Effect.Effect<Lease, RegistryError>
    /** Changes what the entry says; its id and its lease stay. */
    readonly update: (lease: Lease, endpoint: Endpoint) => Effect.Effect<void, RegistryError>
    /** Gives the lease its full time to live again; fails with `LeaseLost`, `EntryMissing` or `Superseded`. */
    readonly renew: (lease: Lease) => Effect.Effect<void, RegistryError>
    /** Removes the entry and its lease at once; a lease that is gone already is success. */
    readonly revoke: (lease: Lease) => Effect.Effect<void, RegistryError>
  }
>()("@muster/core/Registry") {}
