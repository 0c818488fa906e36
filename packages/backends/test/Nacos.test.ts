import { it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Redacted, Schedule, Schema } from "effect"
import { Endpoint, Policy, Registry } from "@muster/core"
import * as Nacos from "@muster/backends/Nacos"
import type { Faults, Options } from "./fixtures/nacosServer.ts"
import * as Program from "./fixtures/Program.ts"
import { type Harness, reads, suite } from "./RegistryContract.ts"

const start = (options: Options) => Program.make<Options, Faults>("./nacosServer.ts", options)

/** The hand of the operator of a scripted server. */
class Operator extends Context.Service<Operator, Effect.Success<ReturnType<typeof start>>>()("Operator") {}

const scripted = (options: Options) =>
  Layer.unwrap(
    Effect.map(start({ judgeEvery: 200, pushDelay: 20, ...options }), (server) =>
      Layer.merge(
        Nacos.layer({ hosts: [{ host: "127.0.0.1", port: server.ports[0] ?? 0 }] }).pipe(
          Layer.provide(Layer.succeed(Policy.PollRemote, Duration.millis(100))),
          Layer.provide(Layer.succeed(Policy.CallDeadline, Duration.seconds(15)))
        ),
        Layer.succeed(Operator, server)
      )
    )
  )

/** As somebody else registers it over HTTP, who never beats again. */
const filled = (endpoint: Endpoint.Endpoint, ttl: Duration.Duration) => ({
  service: endpoint.service,
  instance: {
    ip: endpoint.host,
    port: endpoint.port,
    weight: endpoint.weight,
    healthy: true,
    enabled: true,
    ephemeral: true,
    clusterName: "DEFAULT",
    metadata: {
      "muster-id": endpoint.id,
      muster: Schema.encodeSync(Endpoint.EndpointFromJson)(endpoint),
      "preserved.ip.delete.timeout": String(Duration.toMillis(ttl))
    }
  }
})

const harness: Harness<Operator> = {
  clock: "live",
  ttl: Duration.seconds(4),
  slack: Duration.millis(700),
  write: (service, id, text) => Operator.use((it) => it.control("write", JSON.stringify({ service, id, text }))),
  fill: (endpoints, ttl) =>
    Operator.use((it) => it.control("fill", JSON.stringify({ all: endpoints.map((one) => filled(one, ttl)) }))),
  remove: (service, id) => Operator.use((it) => it.control("remove", JSON.stringify({ service, id })))
}

/** The hand of the operator of a real server, over the HTTP client API: each test begins and ends with nothing there. */
const real = process.env["MUSTER_TEST_NACOS"]
if (real !== undefined) {
  const [host = "", port = "8848"] = real.split(":")
  const [user, password, token] = ["USER", "PASSWORD", "TOKEN"].map((name) => process.env[`MUSTER_TEST_NACOS_${name}`])
  const to = (protocol: "grpc" | "http") =>
    Nacos.layer({
      hosts: [{ host, port: Number(port) }],
      protocol,
      login: user === undefined ? undefined : { user, password: Redacted.make(password ?? "") },
      token: token === undefined ? undefined : Redacted.make(token)
    })
  const call = async (method: string, path: string, parameters: Record<string, string>) => {
    const query = new URLSearchParams({ ...parameters, accessToken: await access() })
    return (await fetch(`http://${real}/nacos/${path}?${query.toString()}`, { method })).json()
  }
  const access = async (): Promise<string> => {
    if (user === undefined) return token ?? ""
    for (const path of ["v3/auth/user/login", "v1/auth/login"]) {
      const body = new URLSearchParams({ username: user, password: password ?? "" })
      const answer = await fetch(`http://${real}/nacos/${path}`, { method: "POST", body })
      if (answer.ok) return ((await answer.json()) as { readonly accessToken: string }).accessToken
    }
    throw new Error("cannot log in")
  }
  interface Found {
    readonly ip: string
    readonly port: number
    readonly metadata: Readonly<Record<string, string>>
  }
  const api = "v3/client/ns/instance"
  const find = (service: string) =>
    Effect.promise(async () => {
      const { data } = (await call("GET", `${api}/list`, { serviceName: service })) as { data: ReadonlyArray<Found> }
      return data
    })
  const change = (
    method: string,
    service: string,
    one: Pick<Found, "ip" | "port">,
    more: Record<string, string> = {}
  ) => Effect.promise(() => call(method, api, { serviceName: service, ip: one.ip, port: String(one.port), ...more }))
  const clear = Effect.forEach(["orders", "orders-eu", "orders.eu", "order", "bills"], (service) =>
    find(service).pipe(
      Effect.tap(Effect.forEach((one) => change("DELETE", service, one), { discard: true })),
      Effect.repeat({ until: (left) => left.length === 0, schedule: Schedule.spaced("100 millis") })
    )
  )
  const cleared = Layer.effectDiscard(Effect.acquireRelease(clear, () => clear))
  suite(`Nacos at ${real}, over HTTP`, Layer.provideMerge(to("http"), cleared), {
    clock: "live",
    ttl: Duration.seconds(8),
    slack: Duration.seconds(6),
    write: Effect.fnUntraced(function* (service, id, text) {
      const known = (yield* find(service)).find(({ metadata }) => metadata["muster-id"] === id)
      const at = known ?? { ip: "127.0.0.1", port: 40_000 + Math.floor(Math.random() * 20_000) }
      yield* change("POST", service, at, { metadata: JSON.stringify({ "muster-id": id, muster: text }) })
    }),
    remove: Effect.fnUntraced(function* (service, id) {
      const known = (yield* find(service)).filter(({ metadata }) => metadata["muster-id"] === id)
      yield* Effect.forEach(known, (one) => change("DELETE", service, one), { discard: true })
    })
  })
  reads(
    `Nacos at ${real}, over gRPC`,
    (endpoints) =>
      Layer.effectDiscard(
        Effect.flatMap(Registry.Registry, (registry) =>
          Effect.forEach(endpoints, (endpoint) => registry.register(endpoint, Duration.minutes(5)), {
            concurrency: 64,
            discard: true
          })
        )
      ).pipe(Layer.provideMerge(to("grpc")), Layer.provideMerge(cleared)),
    it.live,
    1000
  )
}

suite("Nacos over gRPC", scripted({}), harness)
suite("Nacos over HTTP", scripted({ apis: ["v3"] }), harness)
