/**
 * Consul and Nacos as they are measured: scripted servers in processes of their own, so that what those cost is not
 * counted, and the layers that speak to them.
 */
import * as Consul from "@muster/backends/Consul"
import * as Nacos from "@muster/backends/Nacos"
import type * as Registry from "@muster/core/Registry"
import type * as Resolver from "@muster/core/Resolver"
import { Effect, type Layer, type Scope } from "effect"
import * as Program from "../../../packages/backends/test/fixtures/Program.ts"

/** A registry, and how it is spoken to. */
export type Name = "consul" | "nacosHttp" | "nacosGrpc"

/** What its rows are called. */
export const described: Readonly<Record<Name, { readonly id: string; readonly said: string }>> = {
  consul: { id: "Consul", said: "Consul" },
  nacosHttp: { id: "Nacos", said: "Nacos over HTTP" },
  nacosGrpc: { id: "Nacos", said: "Nacos over gRPC" }
}

/** The name that a program was given. */
export const nameOf = (given: string | undefined): Name =>
  given === "nacosHttp" || given === "nacosGrpc" ? given : "consul"

/** Both ports on the server at this port of the loopback. */
export const layer = (name: Name, port: number): Layer.Layer<Registry.Registry | Resolver.Resolver> =>
  name === "consul"
    ? Consul.layer({ agent: { host: "127.0.0.1", port } })
    : Nacos.layer({ hosts: [{ host: "127.0.0.1", port }], protocol: name === "nacosHttp" ? "http" : "grpc" })

/** A scripted server for as long as the scope lives; gives its port. */
export const serve = (name: Name): Effect.Effect<number, never, Scope.Scope> =>
  Effect.map(
    Program.make(name === "consul" ? "./consulAgent.ts" : "./nacosServer.ts", {}),
    ({ ports }) => ports[0] ?? 0
  )
