/**
 * The read port: how a back end tells what it knows of one service and what changes from then on.
 *
 * The stream ends or fails when the back end loses its registry; it never reconnects by itself, because reconnecting,
 * freezing and full reads belong to Discovery alone. Interrupting it releases everything it held.
 */
import * as Context from "effect/Context"
import type * as Stream from "effect/Stream"
import type { Change, Cursor } from "./Change.ts"
import type { ServiceName } from "./Endpoint.ts"
import type { RegistryError } from "./RegistryError.ts"

/**
 * The read port of a registry.
 *
 * @category services
 * @since 0.1.0
 */
export class Resolver extends Context.Service<
  Resolver,
  {
    /** The registry as a target, for logs, metrics and errors. */
    readonly registry: string
    /**
     * Begins with `Reset`, or with `Resumed` when `from` still holds; then one `Changed` for each revision.
     * Without `from` it always begins with a fresh full read.
     */
    readonly watch: (service: ServiceName, from?: Cursor | undefined) => Stream.Stream<Change, RegistryError>
  }
>()("@muster/core/Resolver") {}
