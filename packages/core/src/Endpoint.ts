/**
 * One reachable instance of a service, as every registry, snapshot and balancer knows it.
 *
 * The identity of an instance is its `id` alone: address, weight and metadata may change under it without losing
 * what was learned of it. The encoded form is the value that writable registries store; fields that an older or a
 * foreign writer leaves out get the documented defaults, and anything malformed is refused, never repaired.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const serviceName = /^[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?$/

/**
 * The name of a service: lower-case letters, digits, `-`, `_` and `.`, at most 253 characters, so that it can be the
 * host of a URL (`http://orders/…`) and one segment of a registry key.
 *
 * @category models
 * @since 0.1.0
 */
export const ServiceName = Schema.String.check(
  Schema.isPattern(serviceName, {
    expected: "a service name (lower-case letters, digits, '-', '_', '.'; at most 253 characters)"
  })
).pipe(Schema.brand("ServiceName"))

/**
 * The name of a service.
 *
 * @category models
 * @since 0.1.0
 */
export type ServiceName = typeof ServiceName.Type

/**
 * Whether a text is the name of a service: what the schema says, without the cost of asking it for each request.
 *
 * @category guards
 * @since 0.1.0
 */
export const isServiceName = (text: string): text is ServiceName => serviceName.test(text)

/**
 * The stable identity of one instance: 1 to 253 visible ASCII characters without `/`, unique within its service.
 *
 * @category models
 * @since 0.1.0
 */
export const InstanceId = Schema.String.check(
  Schema.isPattern(/^[!-.0-~]{1,253}$/, { expected: "an instance id (1 to 253 visible characters, no '/')" })
).pipe(Schema.brand("InstanceId"))

/**
 * The stable identity of one instance.
 *
 * @category models
 * @since 0.1.0
 */
export type InstanceId = typeof InstanceId.Type

/**
 * A host name or an IP address without brackets, as a client dials it.
 *
 * @category models
 * @since 0.1.0
 */
export const Host = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9_:.%-]{1,253}$/, { expected: "a host name or an IP address" })
)

/**
 * A TCP port that can be dialled: 1 to 65535.
 *
 * @category models
 * @since 0.1.0
 */
export const Port = Schema.Int.check(
  Schema.isBetween({ minimum: 1, maximum: 65535 }, { expected: "a port from 1 to 65535" })
)

/**
 * One instance of a service. Defaults: weight 1, `startedAt` 0 (unknown), not draining, no metadata.
 *
 * `weight` is the relative share of requests (0 takes the instance out of normal picks); `startedAt` is Unix time in
 * milliseconds, the birth of the process, which orders two claims to one id and starts the warm-up.
 *
 * @category models
 * @since 0.1.0
 */
export class Endpoint extends Schema.Class<Endpoint>("@muster/core/Endpoint")({
  service: ServiceName,
  id: InstanceId,
  host: Host,
  port: Port,
  weight: withDefault(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 })), 1),
  zone: Schema.optionalKey(Schema.NonEmptyString),
  version: Schema.optionalKey(Schema.NonEmptyString),
  startedAt: withDefault(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)), 0),
  draining: withDefault(Schema.Boolean, false),
  metadata: withDefault(Schema.Record(Schema.String, Schema.String), {})
}) {
  /**
   * `host:port`, with brackets around an IPv6 host.
   *
   * @since 0.1.0
   */
  get address(): string {
    return this.host.includes(":") ? `[${this.host}]:${this.port}` : `${this.host}:${this.port}`
  }

  /**
   * The same instance, announcing that it is about to leave.
   *
   * @since 0.1.0
   */
  asDraining(): Endpoint {
    return this.draining ? this : new Endpoint({ ...this, draining: true })
  }
}

/**
 * Whether two endpoints say the same of the same instance.
 *
 * Written out because it runs once for each endpoint of a full read: structural equality costs 30 times as much.
 *
 * @category predicates
 * @since 0.1.0
 */
export const same = (a: Endpoint, b: Endpoint): boolean =>
  a === b ||
  (a.id === b.id &&
    a.host === b.host &&
    a.port === b.port &&
    a.weight === b.weight &&
    a.draining === b.draining &&
    a.startedAt === b.startedAt &&
    a.zone === b.zone &&
    a.version === b.version &&
    a.service === b.service &&
    sameMetadata(a.metadata, b.metadata))

/**
 * An endpoint to and from the JSON text that writable registries store.
 *
 * @category schemas
 * @since 0.1.0
 */
export const EndpointFromJson = Schema.fromJsonString(Endpoint)

function sameMetadata(a: Endpoint["metadata"], b: Endpoint["metadata"]): boolean {
  if (a === b) return true
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key] && Object.hasOwn(b, key))
}

/** A field that may be left out when it is constructed and when it is decoded. */
function withDefault<S extends Schema.Codec<unknown, unknown> & Schema.WithoutConstructorDefault>(
  schema: S,
  value: S["Encoded"] & S["~type.make.in"]
) {
  return schema.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(value)),
    Schema.withConstructorDefault(Effect.succeed(value))
  )
}
