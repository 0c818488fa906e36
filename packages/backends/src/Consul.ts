/**
 * Consul: instances are services of the local agent, kept alive by a TTL check, found by blocking queries.
 *
 * Registers at the agent (never in the catalog, which belongs to the agents), passes the check with each renewal, and
 * lets Consul deregister what has been dead for long. Follows a service by index as Consul documents it, reads from any
 * server whose data are not too old, and takes an answer that was filtered by ACLs for a refusal. Where there are ACLs, a
 * server needs `service` write, a client `service` read, and both `node` read. The requests that are made are in
 * docs/consul.md of Muster's repository.
 */
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { type Change, Cursor } from "@muster/core/Change"
import type { ServiceName } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import { Registry } from "@muster/core/Registry"
import { Resolver } from "@muster/core/Resolver"
import * as Target from "@muster/core/Target"
import * as Agent from "./internal/consul/agent.ts"
import * as Registration from "./internal/consul/registration.ts"
import * as Http from "./internal/http.ts"
import * as HttpPool from "./internal/httpPool.ts"
import * as Pace from "./internal/pace.ts"
import type { Tls } from "./internal/access.ts"

/**
 * Which agent, and how it is spoken to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The local agent. Default: 127.0.0.1:8500. */
  readonly agent?: Target.Address | undefined
  /** The datacenter in which services are looked up; registrations are always the agent's own. Default: the agent's. */
  readonly datacenter?: string | undefined
  /** Consul Enterprise: the namespace and the admin partition. Default: those of the token. */
  readonly namespace?: string | undefined
  readonly partition?: string | undefined
  /** The ACL token. Default: none, which makes us anonymous. */
  readonly token?: Redacted.Redacted | undefined
  /** HTTPS, with the names of PEM files. Default: plain HTTP. */
  readonly tls?: Tls | undefined
}

/**
 * Both ports on a Consul agent, over the HttpClient in the context instead of one of its own; `tls` only says that the
 * agent is asked over HTTPS.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoDeps = (options: Options = {}): Layer.Layer<Registry | Resolver, never, HttpClient.HttpClient> =>
  Layer.provide(make(options), Http.layerClient)

/**
 * Both ports on a Consul agent.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Registry | Resolver> =>
  Layer.provide(make(options), HttpPool.layer(options.tls))

/**
 * The same from configuration.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (options: Config.Wrap<Options>): Layer.Layer<Registry | Resolver, Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))

const make = (options: Options): Layer.Layer<Registry | Resolver, never, Http.Http> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const { datacenter, namespace, partition, tls, token } = options
      const address = options.agent ?? { host: "127.0.0.1", port: 8500 }
      const optional = Object.fromEntries(
        Object.entries({ datacenter, namespace, partition }).filter(([, value]) => value !== undefined)
      )
      const registry = Target.format({ _tag: "Consul", agent: address, ...optional })
      const agent = yield* Agent.make({
        registry,
        url: `${tls === undefined ? "http" : "https"}://${Target.formatAddress(address)}`,
        token,
        namespace,
        partition
      })
      const pace = Pace.make(yield* Clock.Clock, yield* Policy.Poll)
      return Context.make(Registry, { registry, ...(yield* Registration.make(agent)) }).pipe(
        Context.add(Resolver, { registry, watch: (service) => follow(agent, service, datacenter, pace()) })
      )
    })
  )

/** What was told last, by the keys of its entries, and the index to wait behind. */
interface Told {
  readonly keys: ReadonlySet<string>
  readonly behind: bigint
}

const nothing: Told = { keys: new Set(), behind: 0n }

/**
 * Asks again and again, each time behind the index of the answer before. One that went back belongs to another history,
 * where a wait behind the old index could last for ever, so the next question does not wait. An answer without an index,
 * which some gateways take out, is told whatever it says.
 *
 * An answer from behind an index may come from a view that the agent keeps, which leaves out what ACLs hide and, unlike
 * an answer of now, says nothing of it. So nobody is gone because of it: what is missing there is asked for again.
 */
const follow = (agent: Agent.Agent, service: ServiceName, datacenter: string | undefined, pace: Effect.Effect<void>) =>
  Stream.paginate(nothing, (told) =>
    Effect.andThen(pace, agent.list(service, { behind: told.behind, datacenter })).pipe(
      Effect.map(({ endpoints, index, skipped }): readonly [ReadonlyArray<Change>, Option.Option<Told>] => {
        const { behind } = told
        if (index !== 0n && index === behind) return [[], Option.some(told)]
        const keys = new Set([...endpoints.map(({ id }) => id), ...skipped.map(({ key }) => key)])
        const isMissing = (key: string) => !keys.has(key)
        if (behind !== 0n && [...told.keys].some(isMissing)) return [[], Option.some({ ...told, behind: 0n })]
        const change: Change = { _tag: "Reset", endpoints, skipped, cursor: Cursor.make(String(index)) }
        return [[change], Option.some({ keys, behind: index < behind ? 0n : index })]
      })
    )
  )
