/**
 * P8: requests that failed or were executed twice while all servers are restarted, one is killed, and etcd is away for
 * 30 s, in each way that it can be, and loses everything.
 *
 * One script, and three clients that call the same three server processes at the same time, 80 requests a second each,
 * of which a fifth must not run twice: Muster's, grpc-js's `round_robin` and undici's `BalancedPool`. The peers follow the
 * same etcd by etcd3's own Watcher and try again what they may. An order that was in flight on the killed server at
 * that moment is nobody's failure, and counted apart. Where an order of a peer is cannot be seen: whichever was in flight
 * then and failed counts as lost in the kill, in favour of the peers.
 */
import { Policy } from "@muster/core"
import { ServiceName } from "@muster/core/Endpoint"
import { Discovery } from "@muster/runtime"
import { Console, Duration, Effect, FileSystem, Layer } from "effect"
import { fileURLToPath } from "node:url"
import * as Backend from "../../demo/src/backend.ts"
import * as Customer from "../../demo/src/Customer.ts"
import { type Act, acts, outage, places } from "../../demo/src/story/Acts.ts"
import * as Control from "../../demo/src/story/Control.ts"
import * as Fleet from "../../demo/src/story/Fleet.ts"
import { RegistryControl } from "../../demo/src/story/RegistryControl.ts"
import * as Stage from "../../demo/src/story/Stage.ts"
import * as Traffic from "../../demo/src/Traffic.ts"
import { View } from "../../demo/src/View.ts"
import { until } from "../../demo/src/Wait.ts"
import * as BalancedPool from "./peers/balancedPool.ts"
import * as RoundRobin from "./peers/roundRobin.ts"
import { make } from "./Row.ts"
import { Tally } from "./Tally.ts"

const service = ServiceName.make("orders")

/** Requests a second of each client. */
const rate = 80

/** A request that is not answered so long after the last one was sent has failed. */
const grace = Duration.seconds(10)

const act = (name: string) => acts.filter((act) => act.name === name)

const away: Act = {
  ...outage(Duration.seconds(30)),
  title: "the registry is taken away for 30 s, in every way there is"
}

const script: ReadonlyArray<Act> = [...act("rolling"), ...act("kill"), away, ...act("wiped")]

export const lostRequests = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "muster-bench-" })
  return yield* Effect.provide(Effect.scoped(play(folder)), Control.layer("etcd", folder))
}).pipe(Effect.scoped)

const play = Effect.fnUntraced(function* (folder: string) {
  const registry = yield* RegistryControl
  const etcd = new URL(registry.target).host
  const program = fileURLToPath(new URL("./programs/ordersServer.ts", import.meta.url))
  const fleet = yield* Fleet.make({ service, registry: registry.target, folder, program })
  const view = new View(yield* Policy.MassRemoval, performance, {
    tell: () => undefined,
    seen: () => undefined
  })

  const muster = new Tally("Muster")
  const peers = [
    { tally: new Tally("grpc-js round_robin"), client: RoundRobin.layer(etcd, service) },
    { tally: new Tally("undici BalancedPool"), client: BalancedPool.layer(etcd, service) }
  ]
  const tallies = [muster, ...peers.map(({ tally }) => tally)]
  const evidence = {
    killing: (address: string) => {
      for (const { tally } of peers) tally.killing(service)
      return muster.killing(address)
    },
    killed: (address: string) => {
      for (const { tally } of peers) tally.killed(service)
      muster.killed(address)
    }
  }
  const stage = Stage.make({ fleet, registry, view, evidence, telling: { did: () => undefined }, pace: 1 })

  const perform = ({ name, play }: Act) => {
    for (const tally of tallies) tally.begin(name, places.length)
    return play(stage)
  }

  yield* Effect.gen(function* () {
    yield* Effect.flatMap(Discovery.Discovery, ({ subscribe }) => subscribe(service))
    yield* Effect.forEach(places, stage.start, { concurrency: "unbounded", discard: true })
    // Built first, so that their requests outlive the script, and each on the client of its own.
    const calls = yield* Effect.forEach(peers, ({ client, tally }) =>
      Effect.map(Layer.build(Layer.fresh(Layer.provide(Traffic.observed, client))), (context) =>
        Effect.provide(Traffic.run(service, rate, tally), context)
      )
    )
    yield* Effect.raceAllFirst([
      Effect.forEach(script, perform, { discard: true }),
      Traffic.run(service, rate, muster),
      ...calls
    ])
    yield* Effect.timeoutOption(
      until(() => tallies.every(({ isComplete }) => isComplete)),
      grace
    )
  }).pipe(Effect.scoped, Effect.provide(Customer.layer(Backend.resolver(registry.target), view)))
  for (const tally of tallies) tally.close()

  const repeated = yield* fleet.repeated
  for (const problem of muster.problems) yield* Console.error(problem)
  return [
    ...script.flatMap(({ name, title }) => {
      const value = muster.broken(name, repeated)
      const row = { id: "P8", value, unit: "requests" }
      return [
        make({ ...row, case: `${title}: failed or executed twice`, against: 0, bar: 0 }),
        ...peers.map(({ tally }) =>
          make({ ...row, case: `${title}: the same, beside ${tally.name}`, against: tally.broken(name, repeated) })
        )
      ]
    }),
    ...peers.map(({ tally }) =>
      make({
        id: "P8",
        case: `orders lost in flight on the killed server, beside ${tally.name}`,
        value: muster.lostInKill,
        unit: "requests",
        against: tally.lostInKill
      })
    )
  ]
})
