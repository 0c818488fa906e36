/**
 * DNS: SRV records, or A and AAAA records with a port of their own; the read port only.
 *
 * A name that does not exist is an authoritative nothing, a name server that fails says nothing at all. Addresses are
 * asked for again when their time to live is over, SRV records (whose time to live Node does not tell) by
 * `Policy.Refresh`; a watch that is opened always asks. Names are absolute: no search domain is tried. An instance is an
 * address, whatever name it has, so its id is `host:port`.
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { type Change, Cursor } from "@muster/core/Change"
import type { ServiceName } from "@muster/core/Endpoint"
import * as Policy from "@muster/core/Policy"
import { Resolver } from "@muster/core/Resolver"
import * as Target from "@muster/core/Target"
import * as Inventory from "./internal/dns/inventory.ts"
import * as NameServer from "./internal/dns/nameServer.ts"

/** Nothing resumes: each watch begins with an answer of now. */
const cursor = Cursor.make("dns")

/**
 * Which names are asked for, and whom.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The name to look up; `{service}` in it stands for the service. Example: `_{service}._tcp.example.com`. */
  readonly name: string
  /** The port of every address. Default: none, so that the name is one of SRV records. */
  readonly port?: number | undefined
  /** Only these addresses. Default: both, and both have to be answered. */
  readonly family?: "IPv4" | "IPv6" | undefined
  /** The name servers, each by its IP address. Default: those of the system. */
  readonly nameServers?: ReadonlyArray<Target.Address> | undefined
}

/**
 * A Resolver that asks name servers.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Resolver> =>
  Layer.effect(
    Resolver,
    Effect.gen(function* () {
      const { name, nameServers, port } = options
      const from = nameServers?.map(Target.formatAddress).join(",") ?? ""
      const registry = `dns://${from}/${name}${port === undefined ? "" : `:${port}`}`
      const open = yield* NameServer.make(registry, options)
      const refresh = yield* Policy.Refresh
      const [least, most] = yield* Policy.TimeToLive

      const read = (service: ServiceName) =>
        Effect.scoped(
          Effect.flatMap(open, (nameServer) => {
            const asked = name.replaceAll("{service}", service)
            return port === undefined
              ? Inventory.services(nameServer, service, asked)
              : Inventory.addresses(nameServer, service, asked, port)
          })
        )
      const outlived = (ttl: Duration.Duration) =>
        Effect.flatMap(Random.nextBetween(1, 1.2), (share) =>
          Effect.sleep(Duration.times(Duration.clamp(ttl, { minimum: least, maximum: most }), share))
        )
      const watch = Effect.fnUntraced(function* (service: ServiceName) {
        const next = yield* Schedule.toStepWithSleep(refresh)
        const scheduled = Effect.asVoid(Pull.catchDone(next(undefined), () => Effect.never))
        return Stream.paginate(Effect.void, (due: Effect.Effect<void>) =>
          Effect.map(Effect.andThen(due, read(service)), ({ endpoints, skipped, ttl }) => {
            const change: Change = { _tag: "Reset", endpoints, skipped, cursor }
            return [[change], Option.some(ttl === undefined ? scheduled : outlived(ttl))] as const
          })
        )
      })
      return { registry, watch: (service) => Stream.unwrap(watch(service)) }
    })
  )

/**
 * The same from configuration.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (options: Config.Wrap<Options>): Layer.Layer<Resolver, Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
