/**
 * Where pods listen. In a cluster each has an address of its own and all have the same port; on loopback that is so on
 * Linux, where the whole of 127.0.0.0/8 is. Elsewhere, and where loopback addresses are refused, each has a port.
 */
import { Effect, Random } from "effect"
import { networkInterfaces } from "node:os"
import { freePorts } from "../../../../../packages/backends/test/fixtures/EtcdServer.ts"
import { Trouble } from "../../Trouble.ts"
import type { Address } from "./Pods.ts"

type Addresses = Effect.Effect<Address>

const onePort = Effect.map(freePorts(1), ([port = 0]) => port)

const ownPorts = (host: string): Addresses => Effect.map(onePort, (port) => ({ host, port }))

/** Loopback addresses, for clients on this machine alone. */
export const loopback: Effect.Effect<Addresses> = Effect.map(onePort, (port) => {
  if (process.platform !== "linux") return ownPorts("127.0.0.1")
  const part = Random.nextIntBetween(1, 254)
  return Effect.map(Effect.all([part, part, part]), (parts) => ({ host: `127.${parts.join(".")}`, port }))
})

/** The one address of this machine that others can reach. */
export const reachable: Effect.Effect<Addresses, Trouble> = Effect.suspend(() => {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  const found = all.find(({ family, internal }) => family === "IPv4" && !internal)
  return found === undefined
    ? Effect.fail(new Trouble({ message: "this machine has no IPv4 address besides loopback" }))
    : Effect.succeed(ownPorts(found.address))
})
