/**
 * Fixed addresses instead of a registry: the read port only.
 *
 * They answer for every service that is asked for, each address once and as an instance of its own, whose id is the
 * address. Nothing is ever added or removed; whether an address is alive is for the balancer to find out.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Cursor } from "@muster/core/Change"
import { Endpoint, InstanceId } from "@muster/core/Endpoint"
import { Resolver } from "@muster/core/Resolver"
import * as Target from "@muster/core/Target"

/**
 * The addresses to list.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly addresses: ReadonlyArray<Target.Address>
}

const cursor = Cursor.make("fixed")

/**
 * A Resolver that lists these addresses for every service.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = ({ addresses }: Options): Layer.Layer<Resolver> => {
  const byId = new Map(addresses.map((address) => [InstanceId.make(Target.formatAddress(address)), address]))
  return Layer.succeed(Resolver, {
    registry: `direct:///${[...byId.keys()].join(",")}`,
    watch: (service) => {
      const endpoints = Array.from(byId, ([id, address]) => new Endpoint({ service, id, ...address }))
      return Stream.concat(Stream.succeed({ _tag: "Reset", endpoints, cursor, skipped: [] }), Stream.never)
    }
  })
}

/**
 * The same from configuration.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (options: Config.Wrap<Options>): Layer.Layer<Resolver, Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
