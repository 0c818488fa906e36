/**
 * A Nacos cluster, scripted or real, that is taken away by proxies before its servers: one for the client and one for
 * those that register, under a random service name of the story's own.
 *
 * What is registered lives with the connections of those who registered it, and nobody else may take it away. So it is
 * wiped by cutting these alone, until Nacos lists nobody. Nothing of it is left behind.
 */
import { Target } from "@muster/core"
import { ServiceName } from "@muster/core/Endpoint"
import { Resolver } from "@muster/core/Resolver"
import { Effect, Layer, Random, Schedule, Stream } from "effect"
import { freePorts } from "../../../../../packages/backends/test/fixtures/EtcdServer.ts"
import * as TcpProxy from "../../../../../packages/backends/test/fixtures/TcpProxy.ts"
import * as Backend from "../../backend.ts"
import * as Fake from "../../fake.ts"
import { Trouble } from "../../Trouble.ts"
import { type Measure, RegistryControl } from "../RegistryControl.ts"

type Given = Extract<Target.Target, { readonly _tag: "Nacos" }>

/** gRPC is so much above the HTTP port. */
const grpc = 1000

/** A port that is free together with the one for gRPC. */
const freePair = Effect.gen(function* () {
  const [port = 0] = yield* freePorts(1)
  yield* Fake.free(port + grpc)
  return port
}).pipe(Effect.retry(Schedule.recurs(20)))

/** Proxies before both ports of a server. */
const before = Effect.fnUntraced(function* ({ host, port }: Target.Address) {
  const own = yield* freePair
  const proxies = [yield* TcpProxy.at(own, { host, port }), yield* TcpProxy.at(own + grpc, { host, port: port + grpc })]
  return { address: { host: "127.0.0.1", port: own }, proxies }
})

const each = (proxies: ReadonlyArray<TcpProxy.TcpProxy>, f: (proxy: TcpProxy.TcpProxy) => Effect.Effect<void>) =>
  Effect.forEach(proxies, f, { discard: true })

const make = Effect.fnUntraced(function* (name: string, target: Given) {
  const service = ServiceName.make(`orders-${(yield* Random.nextIntBetween(36 ** 7, 36 ** 8)).toString(36)}`)
  const [first, ...others] = target.hosts

  const front = Effect.gen(function* () {
    const one = yield* before(first)
    const more = yield* Effect.forEach(others, before)
    const hosts: Given["hosts"] = [one.address, ...more.map(({ address }) => address)]
    return {
      target: Target.format({ ...target, hosts }),
      proxies: [one, ...more].flatMap(({ proxies }) => proxies)
    }
  })
  const forClient = yield* front
  const forServers = yield* front
  const measure = (says: string, f: (proxy: TcpProxy.TcpProxy) => Effect.Effect<void>): Measure => ({
    says,
    done: each([...forClient.proxies, ...forServers.proxies], f)
  })

  /** Does this while anybody is listed, and completes once Nacos tells its listeners that nobody is. */
  const untilNobody = (meanwhile: Effect.Effect<void>) =>
    Effect.gen(function* () {
      const resolver = yield* Resolver
      yield* resolver.watch(service).pipe(
        Stream.map((change) => change._tag === "Reset" && change.endpoints.length === 0),
        Stream.tap((isEmpty) => (isEmpty ? Effect.void : meanwhile)),
        Stream.takeUntil((isEmpty) => isEmpty),
        Stream.runDrain
      )
    }).pipe(
      Effect.provide(Backend.resolver(Target.format(target))),
      Effect.timeoutOrElse({
        duration: "30 seconds",
        orElse: () => Effect.fail(new Trouble({ message: `${name}: still lists servers of ${service} after 30 s` }))
      }),
      Effect.catchTag("RegistryError", ({ message }) => Effect.fail(new Trouble({ message })))
    )

  yield* untilNobody(Effect.void)
  return RegistryControl.of({
    name,
    target: forClient.target,
    service,
    serverTarget: forServers.target,
    outages: [
      {
        takeAway: measure("connections to Nacos are reset and refused", ({ refuse }) => refuse),
        bringBack: measure("Nacos can be reached again", ({ heal }) => heal)
      },
      {
        takeAway: measure("connections to Nacos swallow everything", ({ blackHole }) => blackHole()),
        bringBack: measure("what was swallowed arrives", ({ heal }) => heal)
      }
    ],
    wipe: {
      says: `the servers are cut off until Nacos lists nobody of ${service}`,
      // Not until a new listing is empty: Nacos gathers what it tells, and who is back by then was never away.
      done: Effect.ensuring(
        untilNobody(each(forServers.proxies, ({ refuse }) => refuse)),
        each(forServers.proxies, ({ heal }) => heal)
      )
    }
  })
})

/** A scripted server that goes with the story. */
export const own = Layer.effect(
  RegistryControl,
  Effect.flatMap(Fake.nacos(0), (address) => make("nacos", { _tag: "Nacos", hosts: [address] }))
)

/** A cluster that was running before the story. */
export const given = (target: Given) => Layer.effect(RegistryControl, make(Target.format(target), target))
