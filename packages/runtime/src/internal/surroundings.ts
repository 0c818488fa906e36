/**
 * What the attempts of a service are provided with: what is around them, and the names of the service and the instance in
 * their spans and log lines.
 *
 * Whoever asks again and again has the same around it, so what was made of it is kept with it: a client below that looks
 * into it does so once, too. Nothing of a caller is kept longer than the caller keeps it, because a response that nobody
 * reads is over when nobody can reach it any more, and what is around a request may lead to its response.
 */
import * as Context from "effect/Context"
import * as References from "effect/References"
import type { InstanceId, ServiceName } from "@muster/core/Endpoint"

/** What else an attempt is provided with, given what is around it. */
export type Provide = <R>(around: Context.Context<R>) => Context.Context<R>

/** What was made of what is around a caller. */
export interface Surroundings<R> {
  readonly around: Context.Context<R>
  readonly provide: Provide | undefined
  readonly provided: Context.Context<R>
  readonly byInstance: Map<InstanceId, Context.Context<R>>
}

/** With more instances than so many it is seldom the same one that is asked again. */
const most = 64

export const make = (service: ServiceName) => {
  const known = new WeakMap<Context.Context<never>, Surroundings<never>>()
  return {
    /** Asks `provide` once for each context, so it is to say the same each time. */
    of: <R>(around: Context.Context<R>, provide: Provide | undefined): Surroundings<R> => {
      const last = known.get(around)
      if (last !== undefined && isOf(last, around) && last.provide === provide) return last
      const provided = provide === undefined ? around : provide(around)
      const made = { around, provide, provided, byInstance: new Map<InstanceId, Context.Context<R>>() }
      known.set(around, made)
      return made
    },
    on: <R>({ byInstance, provided }: Surroundings<R>, instance: InstanceId): Context.Context<R> => {
      const last = byInstance.get(instance)
      if (last !== undefined) return last
      const made = annotated(provided, { "muster.service": service, "muster.instance": instance })
      if (byInstance.size === most) byInstance.clear()
      byInstance.set(instance, made)
      return made
    }
  }
}

const isOf = <R>(known: Surroundings<never>, around: Context.Context<R>): known is Surroundings<R> =>
  known.around === around

/** The spans and log lines of an attempt name the service and the instance. */
const annotated = <R>(context: Context.Context<R>, attributes: Attributes): Context.Context<R> =>
  withAttributes(
    withAttributes(context, References.CurrentLogAnnotations, attributes),
    References.TracerSpanAnnotations,
    attributes
  )

type Attributes = Readonly<Record<string, string>>

const withAttributes = <R>(
  context: Context.Context<R>,
  reference: Context.Reference<Readonly<Record<string, unknown>>>,
  attributes: Attributes
): Context.Context<R> => {
  const known = Context.getOrUndefined(context, reference)
  return Context.add(context, reference, known === undefined ? attributes : { ...known, ...attributes })
}
