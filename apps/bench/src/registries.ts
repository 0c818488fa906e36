/**
 * Consul and Nacos as they are measured: scripted servers in processes of their own, so that what those cost is not
 * counted, and the layers that speak to them and to etcd.
 */
import * as Consul from "@muster/backends/Consul"
import * as Etcd from "@muster/backends/Etcd"
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

/** Both ports on the server at this address; `name` is what a program was given. */
export const layer = (name: string, address: string): Layer.Layer<Registry.Registry | Resolver.Resolver> => {
  const [host = "", port] = address.split(":")
  const at = { host, port: Number(port) }
  switch (name) {
    case "etcd":
      return Etcd.layer({ hosts: [address] })
    case "consul":
      return Consul.layer({ agent: at })
    default:
      return Nacos.layer({ hosts: [at], protocol: name === "nacosHttp" ? "http" : "grpc" })
  }
}

/** A scripted server for as long as the scope lives; gives its address. */
export const serve = (name: Name): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(
    Program.make(name === "consul" ? "./consulAgent.ts" : "./nacosServer.ts", {}),
    ({ ports }) => `127.0.0.1:${ports[0] ?? 0}`
  )
