/**
 * A client that balances with grpc-js's `round_robin` and tries again by its retry policy, with the figures of gRPC's own
 * example: only what is idempotent, besides what gRPC knows to be unprocessed and sends again by itself.
 */
import { Client, credentials, experimental } from "@grpc/grpc-js"
import { Effect, Layer } from "effect"
import { HttpClient, HttpClientError, type HttpClientRequest, HttpClientResponse } from "effect/http"
import * as Instances from "./instances.ts"
import * as Tunnel from "./tunnel.ts"

const scheme = "followed"

const serviceConfig = {
  loadBalancingConfig: [{ round_robin: {} }],
  methodConfig: [
    {
      name: [{ service: Tunnel.service, method: "Repeatable" }],
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: "0.1s",
        maxBackoff: "1s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"]
      }
    }
  ]
}

/** An `HttpClient` for a service that is registered in this etcd. */
export const layer = (etcd: string, service: string) =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.gen(function* () {
      yield* resolving(etcd, service)
      const client = yield* Effect.acquireRelease(
        Effect.sync(
          () =>
            new Client(`${scheme}:${service}`, credentials.createInsecure(), {
              "grpc.service_config": JSON.stringify(serviceConfig)
            })
        ),
        (client) => Effect.sync(() => client.close())
      )
      return HttpClient.make((request, url) =>
        Effect.map(call(client, request, url), ({ body, status }) =>
          HttpClientResponse.fromWeb(
            request,
            new Response(body, { status, headers: { "content-type": "application/json" } })
          )
        )
      )
    })
  )

const call = (client: Client, request: HttpClientRequest.HttpClientRequest, { pathname }: URL) =>
  Effect.callback<Tunnel.Answered, HttpClientError.HttpClientError>((resume) => {
    const { path, requestSerialize, responseDeserialize } =
      Tunnel.methods[request.method === "POST" ? "Once" : "Repeatable"]
    const body = request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : null
    const asked = { method: request.method, path: pathname, body }
    const call = client.makeUnaryRequest(path, requestSerialize, responseDeserialize, asked, (cause, answer) => {
      if (answer !== undefined) return resume(Effect.succeed(answer))
      const reason = new HttpClientError.TransportError({ request, cause })
      resume(Effect.fail(new HttpClientError.HttpClientError({ reason })))
    })
    return Effect.sync(() => call.cancel())
  })

/** Lets grpc-js find the servers that are there now. */
const resolving = Effect.fnUntraced(function* (etcd: string, service: string) {
  let endpoints: Array<experimental.Endpoint> = []
  const resolvers = new Set<() => void>()

  class Followed implements experimental.Resolver {
    readonly #tell: () => void

    constructor(_target: experimental.GrpcUri, listener: experimental.ResolverListener) {
      this.#tell = () => void listener(experimental.statusOrFromValue(endpoints), {}, null, "")
      resolvers.add(this.#tell)
    }

    updateResolution(): void {
      setImmediate(this.#tell)
    }

    destroy(): void {
      resolvers.delete(this.#tell)
    }

    static getDefaultAuthority({ path }: experimental.GrpcUri): string {
      return path
    }
  }

  experimental.registerResolver(scheme, Followed)
  yield* Instances.follow(etcd, service, (there) => {
    endpoints = there.map((endpoint) => ({ addresses: [{ host: endpoint.host, port: Tunnel.portOf(endpoint) }] }))
    for (const tell of resolvers) tell()
  })
})
