/**
 * The one place where this program meets a registry: whatever `--registry` names, as the two ports of `@muster/core`.
 *
 * A program with a fixed back end says `Local.layer({ path })` or `Etcd.layer({ hosts })` here, and nothing else changes.
 */
import * as FromTarget from "@muster/backends/FromTarget"
import type { Registry } from "@muster/core/Registry"
import type { RegistryError } from "@muster/core/RegistryError"
import type { Resolver } from "@muster/core/Resolver"
import { Target } from "@muster/core"
import { Effect, Layer, Option, Result } from "effect"
import * as Access from "./Access.ts"
import { Trouble } from "./Trouble.ts"

/** What a server registers with. */
export const registry = (target: string) =>
  Layer.unwrap(
    Effect.map(
      read(Target.parseWritable(target)),
      (parsed): Layer.Layer<Registry> => Access.layer(parsed) ?? FromTarget.registry(parsed)
    )
  )

/** Where a client finds servers. */
export const resolver = (target: string) =>
  Layer.unwrap(
    Effect.map(
      read(Target.parse(target)),
      (parsed): Layer.Layer<Resolver, RegistryError> => Access.layer(parsed) ?? FromTarget.resolver(parsed)
    )
  )

/** The service that the target itself names, as `k8s://shop/orders` does. */
export const serviceOf = (target: string): string | undefined =>
  Option.getOrUndefined(Option.flatMapNullishOr(Result.getSuccess(Target.parse(target)), Target.service))

const read = <A>(parsed: Result.Result<A, Target.TargetError>): Effect.Effect<A, Trouble> =>
  Effect.mapError(
    Effect.fromResult(parsed),
    ({ text, offset, expected }) =>
      new Trouble({ message: `"${text}" is no registry: expected ${expected} at character ${offset + 1}` })
  )
