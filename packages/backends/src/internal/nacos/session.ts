/**
 * What any way to speak to a Nacos server does, and why it may not: the common face of gRPC and HTTP.
 */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { ServiceName } from "@muster/core/Endpoint"
import {
  Exhausted,
  PermissionDenied,
  type RegistryErrorReason,
  Unavailable,
  Unreadable
} from "@muster/core/RegistryError"
import type { Instance, ServiceInfo } from "./wire.ts"

/** Our instances, by service and address: what a new session has to register again. */
export type Wanted = Map<ServiceName, Map<string, Instance>>

/** A way to speak to one server, for as long as it lasts. */
export interface Session {
  /** The server and the protocol, for logs and errors. */
  readonly name: string
  /** Registers an instance that was added to what is wanted, or changed in it. */
  readonly put: (service: ServiceName, instance: Instance) => Effect.Effect<void, RegistryErrorReason>
  /** Deregisters an instance that was taken out of what is wanted; one that is gone is success. */
  readonly drop: (service: ServiceName, instance: Instance) => Effect.Effect<void, RegistryErrorReason>
  /** Keeps an instance alive; `false` when the server does not know it, `undefined` when only a listing can tell. */
  readonly beat: (service: ServiceName, instance: Instance) => Effect.Effect<boolean | undefined, RegistryErrorReason>
  /** What there is now. */
  readonly list: (service: ServiceName) => Effect.Effect<ServiceInfo, RegistryErrorReason>
  /** What there is now, and again whenever it may be something else. */
  readonly watch: (service: ServiceName) => Stream.Stream<ServiceInfo, RegistryErrorReason>
  /** Completes with the reason for which the session is over. */
  readonly closed: Effect.Effect<RegistryErrorReason>
}

/** What a code of Nacos means, in an answer over either protocol. */
export const refusal = (code: number, text: string, needs: "r" | "w", group: string, namespace: string) => {
  const said = `Nacos answered ${code}: ${text.trim() === "" ? "(nothing)" : text.trim().slice(0, 200)}`
  switch (code) {
    case 401:
    case 403: {
      const resource = `${namespace}:${group}:naming/*`
      return new PermissionDenied({ message: `${said}; the role of this user needs "${needs}" on ${resource}` })
    }
    case 429:
    case 503:
      return new Exhausted({ message: said })
    case 300:
    case 301:
    case 500:
    case 502:
    case 504:
      return new Unavailable({ message: said })
    default:
      return new Unreadable({ message: said })
  }
}
