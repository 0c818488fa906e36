/**
 * An etcd that was running before the story and runs on after it: taken away by a proxy before each of its members,
 * which only the story's servers and client go through, and wiped below a random prefix that is the story's own.
 *
 * Nothing is deleted that does not begin with this prefix, and nothing is left of it.
 */
import { Target } from "@muster/core"
import { Effect, Layer, Random } from "effect"
import * as EtcdServer from "../../../../../packages/backends/test/fixtures/EtcdServer.ts"
import * as TcpProxy from "../../../../../packages/backends/test/fixtures/TcpProxy.ts"
import { Trouble } from "../../Trouble.ts"
import { type Measure, RegistryControl } from "../RegistryControl.ts"

type Given = Extract<Target.Target, { readonly _tag: "Etcd" }>

export const layer = (given: Given) =>
  Layer.effect(
    RegistryControl,
    Effect.gen(function* () {
      const name = Target.format(given)
      const hosts = given.hosts.map(Target.formatAddress)
      const prefix = `${given.prefix}-demo-${(yield* Random.nextIntBetween(36 ** 8, 36 ** 9)).toString(36)}`
      const operator = yield* EtcdServer.operator(hosts)
      const ask = <A>(what: () => Promise<A>) =>
        Effect.tryPromise({
          try: what,
          catch: (cause) => new Trouble({ message: `${name} does not answer: ${why(cause)}` })
        })
      const deleteOurs = Effect.asVoid(ask(() => operator.delete().prefix(`${prefix}/`).exec()))

      const before = yield* ask(() => operator.getAll().prefix(prefix).count())
      if (before > 0) return yield* new Trouble({ message: `${name}: somebody has keys below ${prefix} already` })
      yield* Effect.addFinalizer(() => Effect.ignore(deleteOurs))
      const proxies = yield* Effect.forEach(given.hosts, ({ host, port }) => TcpProxy.make(port, host))
      const each = (says: string, f: (proxy: TcpProxy.TcpProxy) => Effect.Effect<void>): Measure => ({
        says,
        done: Effect.forEach(proxies, f, { discard: true })
      })

      return RegistryControl.of({
        name,
        target: `etcd://${proxies.map(({ address }) => address).join(",")}?prefix=${prefix}`,
        outages: [
          {
            takeAway: each("connections to etcd are reset and refused", ({ refuse }) => refuse),
            bringBack: each("etcd can be reached again", ({ heal }) => heal)
          },
          {
            takeAway: each("connections to etcd swallow everything", ({ blackHole }) => blackHole()),
            bringBack: each("what was swallowed arrives", ({ heal }) => heal)
          }
        ],
        wipe: { says: `everything below ${prefix}/ is deleted`, done: deleteOurs }
      })
    })
  )

const why = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause))
