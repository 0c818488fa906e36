/**
 * What is kept of a service from one run of a client to the next: its last snapshot, of which registry, and as of when.
 *
 * Text in, text out; where it is kept is somebody else's business. Text that is cut short, of another version, of
 * another registry or service, or too old is refused as a whole and says why: it is never repaired.
 */
import * as Duration from "effect/Duration"
import * as Hash from "effect/Hash"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as DiscoveryState from "./DiscoveryState.ts"
import { Endpoint, ServiceName } from "./Endpoint.ts"
import * as Snapshot from "./Snapshot.ts"

/**
 * The last snapshot of a service; `savedAt` is Unix time in milliseconds, when it was last known to be true.
 *
 * @category models
 * @since 0.1.0
 */
export const Remembered = Schema.Struct({
  format: Schema.Literal("muster-snapshot"),
  version: Schema.Literal(1),
  registry: Schema.String,
  service: ServiceName,
  savedAt: Schema.Finite,
  endpoints: Schema.Array(Endpoint)
})

/**
 * The last snapshot of a service.
 *
 * @category models
 * @since 0.1.0
 */
export type Remembered = typeof Remembered.Type

/**
 * What is worth remembering of a state at `now` (of its log) and `wall` (Unix time), or `undefined` where it holds
 * nothing newer than what was remembered before.
 *
 * Instances that the mass-removal guard holds are still believed to serve, so they are remembered. Draining ones will be
 * gone by the time anybody asks, so they are not, unless there is nobody else.
 *
 * @category constructors
 * @since 0.1.0
 */
export const of = (
  registry: string,
  service: ServiceName,
  state: DiscoveryState.Known,
  now: number,
  wall: number
): Remembered | undefined => {
  const asOf = DiscoveryState.asOf(state, now)
  if (asOf?._tag !== "Observed") return undefined
  const all = Snapshot.endpoints(state.snapshot)
  const staying = all.filter(({ draining }) => !draining)
  return {
    format: "muster-snapshot",
    version: 1,
    registry,
    service,
    savedAt: wall - (now - asOf.at),
    endpoints: staying.length > 0 ? staying : all
  }
}

/**
 * Under which key a snapshot is kept: at most 209 characters that any file system takes.
 *
 * @category getters
 * @since 0.1.0
 */
export const key = (registry: string, service: ServiceName): string => {
  const which = Hash.string(`${registry} ${service}`) >>> 0
  return `${service.slice(0, 200)}.${which.toString(16).padStart(8, "0")}`
}

/**
 * The text to keep. It is what the schema encodes to, written out because that takes six times as long.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toText = (self: Remembered): string => JSON.stringify(self)

/**
 * Reads a text back for this registry and service, or says why it is of no use.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromText = (
  text: string,
  registry: string,
  service: ServiceName,
  wall: number,
  maxAge: Duration.Duration
): Result.Result<Remembered, string> =>
  Result.flatMap(
    Result.mapError(decode(text), ({ message }) => `it cannot be read: ${message.split("\n")[0]}`),
    (remembered) => {
      const { endpoints, savedAt } = remembered
      if (remembered.registry !== registry || remembered.service !== service) {
        return Result.fail(`it is of ${remembered.service} in ${remembered.registry}`)
      }
      if (endpoints.some((endpoint) => endpoint.service !== service)) {
        return Result.fail("it has endpoints of other services")
      }
      return wall - savedAt > Duration.toMillis(maxAge)
        ? Result.fail(`it is ${Duration.format(Duration.millis(wall - savedAt))} old, which is too old`)
        : Result.succeed(remembered)
    }
  )

const decode = Schema.decodeResult(Schema.fromJsonString(Remembered))
