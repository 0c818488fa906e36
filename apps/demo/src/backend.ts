/**
 * The one place where this program meets a registry: whatever `--registry` names, as the two ports of `@muster/core`.
 *
 * A program with a fixed back end says `Local.layer({ path })` or `Etcd.layer({ hosts })` here, and nothing else changes.
 */
import * as FromTarget from "@muster/backends/FromTarget"
import { Target } from "@muster/core"
import { Effect, Layer, Option, Result } from "effect"
import * as Access from "./Access.ts"
import { Trouble } from "./Trouble.ts"

/** What a server registers with. */
export const registry = (target: string) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const parsed = yield* read(Target.parseWritable(target))
      return Layer.catchTag(FromTarget.registry(parsed, yield* Access.of(parsed)), "AccessError", refused)
    })
  )

/** Where a client finds servers. */
export const resolver = (target: string) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const parsed = yield* read(Target.parse(target))
      return Layer.catchTag(FromTarget.resolver(parsed, yield* Access.of(parsed)), "AccessError", refused)
    })
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

const refused = ({ message }: FromTarget.AccessError): Layer.Layer<unknown, Trouble> =>
  Layer.unwrap(Effect.fail(new Trouble({ message })))
