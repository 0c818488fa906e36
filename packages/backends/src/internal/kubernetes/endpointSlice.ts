/**
 * A `discovery.k8s.io/v1` EndpointSlice as far as discovery needs it, read from whatever JSON stands in its place.
 *
 * What identifies a slice (uid, name, resourceVersion) must be there; each endpoint is then read by itself, so that one
 * that makes no sense costs nothing but itself. Absent and null mean what the Kubernetes API documents for them.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const nullable = <S extends Schema.Codec<unknown, unknown>>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))
const text = nullable(Schema.String)

/** What every object of the API carries. */
const Metadata = Schema.Struct({
  uid: Schema.NonEmptyString,
  name: Schema.NonEmptyString,
  resourceVersion: Schema.NonEmptyString,
  labels: nullable(Schema.Record(Schema.String, Schema.Unknown))
})

const Port = Schema.Struct({ name: text, port: nullable(Schema.Int), protocol: text })

/** A port of a slice; without a number it stands for all ports. */
export type Port = typeof Port.Type

const Hint = Schema.Struct({ name: Schema.NonEmptyString })

const EndpointJson = Schema.Struct({
  addresses: Schema.NonEmptyArray(Schema.String),
  conditions: nullable(
    Schema.Struct({
      ready: nullable(Schema.Boolean),
      serving: nullable(Schema.Boolean),
      terminating: nullable(Schema.Boolean)
    })
  ),
  targetRef: nullable(Schema.Struct({ uid: text, name: text })),
  nodeName: text,
  zone: text,
  hints: nullable(Schema.Struct({ forZones: nullable(Schema.Array(Hint)), forNodes: nullable(Schema.Array(Hint)) }))
})

/** One endpoint of a slice. */
export type EndpointJson = typeof EndpointJson.Type

const Identified = Schema.Struct({ metadata: Metadata })

const Body = Schema.Struct({
  addressType: Schema.String,
  endpoints: nullable(Schema.Array(Schema.Unknown)),
  ports: nullable(Schema.Array(Port))
})

/** What a slice says; an endpoint that cannot be read is named by its problem. */
export interface Contents {
  readonly addressType: string
  readonly endpoints: ReadonlyArray<Result.Result<EndpointJson, string>>
  readonly ports: ReadonlyArray<Port>
}

/** A slice at one resourceVersion; `contents` are named by their problem where they cannot be read. */
export interface EndpointSlice {
  readonly uid: string
  readonly name: string
  readonly resourceVersion: string
  /** The Service that it belongs to. */
  readonly service: string | undefined
  readonly contents: Result.Result<Contents, string>
}

const identify = Schema.decodeUnknownResult(Identified)
const decodeBody = Schema.decodeUnknownResult(Body)
const decodeEndpoint = Schema.decodeUnknownResult(EndpointJson)

/** The label by which the slices of a Service are found. */
export const serviceLabel = "kubernetes.io/service-name"

const problem = (error: { readonly message: string }) => error.message.replaceAll(/\s+/g, " ")

/** Reads a slice; fails where not even its identity can be read. */
export const read = (object: unknown): Result.Result<EndpointSlice, string> =>
  Result.mapBoth(identify(object), {
    onFailure: problem,
    onSuccess: ({ metadata: { uid, name, resourceVersion, labels } }) => {
      const service = labels?.[serviceLabel]
      const contents = Result.mapBoth(decodeBody(object), {
        onFailure: problem,
        onSuccess: ({ addressType, endpoints, ports }): Contents => ({
          addressType,
          endpoints: (endpoints ?? []).map((endpoint) => Result.mapError(decodeEndpoint(endpoint), problem)),
          ports: ports ?? []
        })
      })
      return { uid, name, resourceVersion, service: typeof service === "string" ? service : undefined, contents }
    }
  })
