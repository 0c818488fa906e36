import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { NetAddress } from "effect/net"
import { Advertise } from "@muster/runtime"

const loopbacks = [
  { interface: "lo", address: "127.0.0.1" },
  { interface: "lo", address: "::1" }
]

/** What is registered for a server bound to this address, on a machine with these addresses and this environment. */
const resolve = (
  bound: string | undefined,
  machine: {
    readonly advertise?: Advertise.Advertise
    readonly addresses?: ReadonlyArray<Advertise.MachineAddress>
    readonly env?: Record<string, string>
  } = {}
) =>
  Advertise.resolve(
    machine.advertise,
    bound === undefined ? undefined : NetAddress.inetAddressFromStringUnsafe(bound)
  ).pipe(
    Effect.provide(
      Layer.mergeAll(
        Layer.succeed(Advertise.MachineAddresses, Effect.succeed([...loopbacks, ...(machine.addresses ?? [])])),
        ConfigProvider.layer(ConfigProvider.fromUnknown(machine.env ?? {}))
      )
    )
  )

const eth0 = { interface: "eth0", address: "10.0.0.5" }
const eth0v6 = { interface: "eth0", address: "2001:db8::5" }
const docker0 = { interface: "docker0", address: "172.17.0.1" }
const linkLocal = [
  { interface: "eth0", address: "fe80::1" },
  { interface: "eth1", address: "169.254.3.4" }
]

describe("Advertise", () => {
  it.effect("registers what was set, whatever the server is bound to", () =>
    Effect.gen(function* () {
      const both = { host: "orders.example", port: 80 }
      assert.deepStrictEqual(yield* resolve(undefined, { advertise: both }), both)
      assert.deepStrictEqual(yield* resolve("0.0.0.0:4000", { advertise: both }), both)
      const host = { advertise: { host: "orders.example" } }
      assert.deepStrictEqual(yield* resolve("0.0.0.0:4000", host), { host: "orders.example", port: 4000 })
      const port = { advertise: { port: 80 } }
      assert.deepStrictEqual(yield* resolve("127.0.0.1:4000", port), { host: "127.0.0.1", port: 80 })
    })
  )

  it.effect("registers the bound address as it is, loopback and IPv6 included", () =>
    Effect.gen(function* () {
      const pod = { env: { POD_IP: "10.1.2.3" }, addresses: [eth0] }
      for (const [bound, host] of [
        ["127.0.0.1:4000", "127.0.0.1"],
        ["10.0.0.5:4000", "10.0.0.5"],
        ["[::1]:4000", "::1"],
        ["[2001:db8::5]:4000", "2001:db8::5"],
        ["[::ffff:10.0.0.5]:4000", "10.0.0.5"]
      ] as const) {
        assert.deepStrictEqual(yield* resolve(bound, pod), { host, port: 4000 })
      }
    })
  )

  it.effect("bound to all interfaces it registers POD_IP, else the one address that others can reach", () =>
    Effect.gen(function* () {
      const env = { POD_IP: "10.1.2.3" }
      const ambiguous = [eth0, docker0]
      for (const any of ["0.0.0.0:4000", "[::]:4000"]) {
        assert.strictEqual((yield* resolve(any, { env, addresses: ambiguous })).host, "10.1.2.3")
        assert.strictEqual((yield* resolve(any, { addresses: [eth0, ...linkLocal] })).host, "10.0.0.5")
        assert.strictEqual((yield* resolve(any, { addresses: [eth0, eth0v6, eth0] })).host, "10.0.0.5")
        assert.strictEqual((yield* resolve(any, { env: { POD_IP: "" }, addresses: [eth0] })).host, "10.0.0.5")
      }
      assert.strictEqual((yield* resolve("[::]:4000", { addresses: [eth0v6] })).host, "2001:db8::5")
      assert.strictEqual((yield* resolve("[::]:4000", { env: { POD_IP: "2001:db8::9" } })).host, "2001:db8::9")
    })
  )

  it.effect("refuses to guess: several addresses are listed, and the error says what to set", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(resolve("0.0.0.0:4000", { addresses: [eth0, docker0, ...linkLocal] }))
      assert.deepStrictEqual(error.candidates, ["eth0 10.0.0.5", "docker0 172.17.0.1"])
      for (const part of ["eth0 10.0.0.5", "docker0 172.17.0.1", "advertise.host"]) assert.include(error.message, part)
      const v6 = [eth0v6, { interface: "eth0", address: "2001:db8::6" }]
      const both = yield* Effect.flip(resolve("[::]:4000", { addresses: v6 }))
      assert.deepStrictEqual(both.candidates, ["eth0 2001:db8::5", "eth0 2001:db8::6"])
    })
  )

  it.effect("refuses what nobody could reach", () =>
    Effect.gen(function* () {
      const none = yield* Effect.flip(resolve("0.0.0.0:4000", { addresses: linkLocal }))
      assert.deepStrictEqual([none._tag, none.candidates], ["NoAddress", []])
      const onlyV6 = yield* Effect.flip(resolve("0.0.0.0:4000", { addresses: [eth0v6] }))
      assert.deepStrictEqual(onlyV6.candidates, [])
      const podV6 = yield* Effect.flip(resolve("0.0.0.0:4000", { env: { POD_IP: "2001:db8::9" } }))
      assert.include(podV6.message, "IPv4 only")
      const notAnIp = yield* Effect.flip(resolve("0.0.0.0:4000", { env: { POD_IP: "pod-7" }, addresses: [eth0] }))
      assert.include(notAnIp.message, "POD_IP")
      const noServer = yield* Effect.flip(resolve(undefined, { advertise: { port: 80 } }))
      assert.include(noServer.message, "no HttpServer is in reach")
      const path = yield* Effect.flip(Advertise.resolve(undefined, NetAddress.unixPathAddress("/run/orders.sock")))
      assert.include(path.message, "/run/orders.sock")
    })
  )

  it.effect("reads the addresses of the machine it runs on", () =>
    Effect.gen(function* () {
      const found = yield* yield* Advertise.MachineAddresses
      assert.include(
        found.map(({ address }) => address),
        "127.0.0.1"
      )
    })
  )
})
