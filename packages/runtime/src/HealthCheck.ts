/**
 * Active checks of instances, on a schedule: of those that were taken out, which then wait for no request to bring them
 * back, and of those that nothing was heard of. Off by default: requests tell most of what there is to know.
 *
 * `Layer.succeed(HealthCheck.HealthCheck, HealthCheck.connecting)` provided to `Balancer.layer` connects; `layerGet` asks
 * a path over HTTP; a check of your own is a function from an endpoint to an `Outcome`.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type { Endpoint } from "@muster/core/Endpoint"
import * as Outcome from "@muster/core/Outcome"
import { ConnectProbe } from "./ConnectProbe.ts"
import * as Exchange from "./internal/httpExchange.ts"

/**
 * How instances are checked: `check` says how one answered, within `within` or it failed; all that are due are checked
 * by `schedule`, at most `concurrency` at a time; an instance in use is due when nothing was heard of it for `silence`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly check: (endpoint: Endpoint) => Effect.Effect<Outcome.Outcome>
  readonly schedule: Schedule.Schedule<unknown>
  readonly silence: Duration.Duration
  readonly within: Duration.Duration
  readonly concurrency: number
}

/**
 * How instances are checked. Default: not at all.
 *
 * @category services
 * @since 0.1.0
 */
export const HealthCheck = Context.Reference<Options | undefined>("@muster/runtime/HealthCheck", {
  defaultValue: () => undefined
})

/** Every second, ± 20 %; after 10 s of silence; 1 s for an answer; 10 at a time. */
const defaults = {
  schedule: Schedule.spaced("1 second").pipe(Schedule.jittered),
  silence: Duration.seconds(10),
  within: Duration.seconds(1),
  concurrency: 10
}

/**
 * Checks whether connections are accepted: a refused one counts as refused, anything else that fails says nothing, nor
 * does one that takes longer than the 2 s of `ConnectProbe`.
 * Every second, ± 20 %, those that are out, and those that nothing was heard of for 10 s; 10 at a time.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connecting: Options = {
  ...defaults,
  within: Duration.seconds(3),
  check: (endpoint) =>
    Effect.withFiber((fiber) => Effect.map(fiber.getRef(ConnectProbe)(endpoint), (answer) => connected[answer]))
}

const connected = { accepted: Outcome.succeeded, refused: Outcome.refused, unknown: Outcome.interrupted }

/**
 * Checks with a GET of this path, which is judged like the answer to any request: by its status. With the `HttpClient`
 * that it is provided with, which should not be a balanced one. The instance hears the name of the service as its `Host`,
 * as from the balanced client; it is asked in plain text unless `scheme` is "https". As often as `connecting`, within 1 s,
 * unless said otherwise.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerGet = (
  path: string,
  {
    scheme = "http",
    ...options
  }: Partial<Omit<Options, "check">> & { readonly scheme?: "http" | "https" | undefined } = {}
): Layer.Layer<never, never, HttpClient.HttpClient> =>
  Layer.effect(
    HealthCheck,
    Effect.gen(function* () {
      const client = yield* HttpClient.HttpClient
      const clock = yield* Clock.Clock
      return {
        ...defaults,
        ...options,
        check: ({ address, service }: Endpoint) => {
          const url = `${scheme}://${address}${path}`
          return client.get(url, { headers: { host: service } }).pipe(
            Effect.flatMap((response) => Effect.as(response.text, Exchange.ofResponse(response, clock))),
            Effect.catch((error) => Effect.succeed(Exchange.ofError(error, url)))
          )
        }
      }
    })
  )
