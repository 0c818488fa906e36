import { Context, Duration, Effect, Layer, Redacted, Schema } from "effect"
import { Endpoint, Policy } from "@muster/core"
import * as Consul from "@muster/backends/Consul"
import type { Faults, Options } from "./fixtures/consulAgent.ts"
import * as Program from "./fixtures/Program.ts"
import { type Harness, suite } from "./RegistryContract.ts"

/** An agent whose operator we are. */
class Operator extends Context.Service<Operator, { readonly url: string; readonly token: string }>()("Operator") {}

const call = (path: string, method = "PUT", body?: unknown) =>
  Effect.flatMap(Operator, ({ token, url }) =>
    Effect.promise(async () => {
      const init = body === undefined ? {} : { body: JSON.stringify(body) }
      const answer = await fetch(`${url}${path}`, { method, headers: { "x-consul-token": token }, ...init })
      const text = await answer.text()
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
      return text
    })
  )

const harness: Harness<Operator> = {
  clock: "live",
  ttl: Duration.seconds(6),
  slack: Duration.millis(500),
  write: (service, id, text) =>
    call("/v1/agent/service/register", "PUT", {
      ID: `${service}:${id}`,
      Name: service,
      Address: "127.0.0.1",
      Port: 1,
      Meta: { muster: text }
    }),
  remove: (service, id) => call(`/v1/agent/service/deregister/${service}:${id}`),
  fill: (endpoints, ttl) =>
    Effect.forEach(
      endpoints,
      (endpoint) =>
        call("/v1/agent/service/register", "PUT", {
          ID: `${endpoint.service}:${endpoint.id}`,
          Name: endpoint.service,
          Address: endpoint.host,
          Port: endpoint.port,
          Meta: { muster: Schema.encodeSync(Endpoint.EndpointFromJson)(endpoint) },
          Check: { CheckID: `lease-${endpoint.id}`, TTL: `${Duration.toMillis(ttl)}ms`, Status: "passing" }
        }),
      { concurrency: 64, discard: true }
    )
}

const at = (host: string, port: number, token = "") =>
  Layer.merge(
    Consul.layer({ agent: { host, port }, token: token === "" ? undefined : Redacted.make(token) }).pipe(
      Layer.provide(Layer.succeed(Policy.CallDeadline, Duration.seconds(15)))
    ),
    Layer.succeed(Operator, { url: `http://${host}:${port}`, token })
  )

suite(
  "Consul",
  Layer.unwrap(
    Effect.map(Program.make<Options, Faults>("./consulAgent.ts", {}), ({ ports }) => at("127.0.0.1", ports[0] ?? 0))
  ),
  harness
)

/** A real agent, as `host:port` with the token beside: each test begins and ends with none of its services on it. */
const real = process.env["MUSTER_TEST_CONSUL"]
if (real !== undefined) {
  const [host = "", port = "8500"] = real.split(":")
  const services = new Set(["orders", "orders-eu", "orders.eu", "order", "bills"])
  const clear = Effect.gen(function* () {
    const all: Record<string, { readonly Service: string }> = JSON.parse(yield* call("/v1/agent/services", "GET"))
    const ids = Object.keys(all).filter((id) => services.has(all[id]?.Service ?? ""))
    yield* Effect.forEach(ids, (id) => call(`/v1/agent/service/deregister/${id}`), { concurrency: 32, discard: true })
  })
  const cleared = Layer.effectDiscard(Effect.acquireRelease(clear, () => clear.pipe(Effect.orDie)))
  const layer = at(host, Number(port), process.env["MUSTER_TEST_CONSUL_TOKEN"])
  suite(`Consul at ${real}`, Layer.provideMerge(cleared, layer), harness)
}
