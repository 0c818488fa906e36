/**
 * A Consul agent, scripted or real, that is taken away by a proxy before it and loses the registrations of one service:
 * a random name of the story's own. Nothing else is deregistered, and nothing of it is left behind.
 */
import { Target } from "@muster/core"
import { Effect, Layer, Random, Redacted, Schema } from "effect"
import * as TcpProxy from "../../../../../packages/backends/test/fixtures/TcpProxy.ts"
import * as Access from "../../Access.ts"
import * as Fake from "../../fake.ts"
import { Trouble } from "../../Trouble.ts"
import { RegistryControl } from "../RegistryControl.ts"

type Given = Extract<Target.Target, { readonly _tag: "Consul" }>

const Registrations = Schema.fromJsonString(
  Schema.Array(Schema.Struct({ Service: Schema.Struct({ ID: Schema.String }) }))
)

const make = Effect.fnUntraced(function* (name: string, target: Given) {
  const { agent, namespace, partition } = target
  const service = `orders-${(yield* Random.nextIntBetween(36 ** 7, 36 ** 8)).toString(36)}`
  const token = yield* Access.consulToken
  const headers: Record<string, string> = token === undefined ? {} : { "x-consul-token": Redacted.value(token) }
  const tenancy = new URLSearchParams({
    ...(namespace === undefined ? {} : { ns: namespace }),
    ...(partition === undefined ? {} : { partition })
  })

  const call = (method: "GET" | "PUT", path: string) =>
    Effect.tryPromise({
      try: async () => {
        const url = `http://${Target.formatAddress(agent)}${path}?${tenancy.toString()}`
        const answer = await fetch(url, { method, headers, signal: AbortSignal.timeout(3000) })
        const text = await answer.text()
        if (!answer.ok && answer.status !== 404) throw new Error(`${answer.status} ${text}`)
        return text
      },
      catch: (cause) => new Trouble({ message: `${name}: ${why(cause)}` })
    })
  const registrations = Effect.flatMap(call("GET", `/v1/health/service/${service}`), (text) =>
    Effect.mapError(
      Schema.decodeUnknownEffect(Registrations)(text),
      () => new Trouble({ message: `${name}: what answers there is no Consul agent` })
    )
  )
  const wipe = Effect.flatMap(registrations, (all) =>
    Effect.forEach(
      all,
      ({ Service }) => call("PUT", `/v1/agent/service/deregister/${encodeURIComponent(Service.ID)}`),
      { concurrency: "unbounded", discard: true }
    )
  )

  yield* registrations
  yield* Effect.addFinalizer(() => Effect.ignore(wipe))
  const proxy = yield* TcpProxy.make(agent.port, agent.host)
  const [host = "", port] = proxy.address.split(":")

  return RegistryControl.of({
    name,
    target: Target.format({ ...target, agent: { host, port: Number(port) } }),
    service,
    outages: [
      {
        takeAway: { says: "connections to Consul are reset and refused", done: proxy.refuse },
        bringBack: { says: "Consul can be reached again", done: proxy.heal }
      },
      {
        takeAway: { says: "connections to Consul swallow everything", done: proxy.blackHole() },
        bringBack: { says: "what was swallowed arrives", done: proxy.heal }
      }
    ],
    wipe: { says: `everybody is deregistered from ${service}`, done: wipe }
  })
})

/** A scripted agent that goes with the story. */
export const own = Layer.effect(
  RegistryControl,
  Effect.flatMap(Fake.consul(0), (address) => make("consul", { _tag: "Consul", agent: address }))
)

/** An agent that was running before the story. */
export const given = (target: Given) => Layer.effect(RegistryControl, make(Target.format(target), target))

/** What `fetch` failed of is the cause of its error. */
const why = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  return cause.cause instanceof Error ? cause.cause.message : cause.message
}
