/**
 * What the attempts of a service are provided with: what is around them, and the names of the service and the instance in
 * their spans and log lines.
 *
 * Whoever asks again and again has the same around it, so what was made for an instance is kept for the next attempt
 * there, as long as anything is in flight: a client below that looks into it does so once, too.
 */
import * as Context from "effect/Context"
import * as References from "effect/References"
import type { InstanceId, ServiceName } from "@muster/core/Endpoint"

/** What else an attempt is provided with, given what is around it. */
export type Provide = <R>(around: Context.Context<R>) => Context.Context<R>

interface Known<R> {
  readonly around: Context.Context<R>
  readonly provide: Provide | undefined
  readonly provided: Context.Context<R>
}

export interface Surroundings {
  readonly of: <R>(around: Context.Context<R>, instance: InstanceId, provide?: Provide) => Context.Context<R>
  /** Nothing is in flight any more: what belonged to a caller is not kept for nothing. */
  readonly forget: () => void
}

export const make = (service: ServiceName): Surroundings => {
  const known = new Map<InstanceId, Known<never>>()
  return {
    of: (around, instance, provide) => {
      const last = known.get(instance)
      if (last !== undefined && isOf(last, around) && last.provide === provide) return last.provided
      const attributes = { "muster.service": service, "muster.instance": instance }
      const provided = annotated(provide === undefined ? around : provide(around), attributes)
      if (known.size === most) known.clear()
      known.set(instance, { around, provide, provided })
      return provided
    },
    forget: () => known.clear()
  }
}

/** With more instances than so many it is seldom the same one that is asked again. */
const most = 64

const isOf = <R>(known: Known<never>, around: Context.Context<R>): known is Known<R> => known.around === around

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
