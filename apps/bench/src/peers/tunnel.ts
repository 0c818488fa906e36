/**
 * A request over gRPC, so that the same traffic reaches the same servers that way: method, path and body in one unary
 * call, the answer in another message, both as JSON. What must not run twice has a method of its own, since gRPC is told
 * by the method what may be tried again.
 *
 * A server's port for it is in the metadata of its registration.
 */
import type { MethodDefinition } from "@grpc/grpc-js"
import type { Endpoint } from "@muster/core/Endpoint"
import { Schema } from "effect"

const Asked = Schema.Struct({ method: Schema.String, path: Schema.String, body: Schema.NullOr(Schema.String) })

const Answered = Schema.Struct({ status: Schema.Int, body: Schema.String })

export type Asked = typeof Asked.Type

export type Answered = typeof Answered.Type

const wire = <A>(message: Schema.Codec<A, unknown>) => {
  const encode = Schema.encodeSync(Schema.fromJsonString(message))
  const decode = Schema.decodeSync(Schema.fromJsonString(message))
  return { encode: (value: A) => Buffer.from(encode(value)), decode: (bytes: Buffer) => decode(bytes.toString()) }
}

const asked = wire(Asked)
const answered = wire(Answered)

export const service = "bench.Tunnel"

const method = (name: string): MethodDefinition<Asked, Answered> => ({
  path: `/${service}/${name}`,
  requestStream: false,
  responseStream: false,
  requestSerialize: asked.encode,
  requestDeserialize: asked.decode,
  responseSerialize: answered.encode,
  responseDeserialize: answered.decode
})

export const methods = { Once: method("Once"), Repeatable: method("Repeatable") }

const key = "grpc"

export const metadata = (port: number) => ({ [key]: String(port) })

export const portOf = (endpoint: Endpoint): number => Number(endpoint.metadata[key])
