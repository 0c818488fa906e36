/**
 * `npm run soak -- --minutes 10 --seed 7`: etcd is killed, stopped, compacted, cut off and wiped, every few seconds, for
 * as long as asked; after each heal every watcher must agree with etcd's own listing again within 5 s.
 *
 * The last line of standard output is one line of JSON; exit code 1 on any violation.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Clock, Console, Duration, Effect, Exit, Option, Random, References, Schedule, Schema, Scope } from "effect"
import { Command, Flag } from "effect/cli"
import { type Endpoint, Policy } from "@muster/core"
import * as EtcdServer from "../../../packages/backends/test/fixtures/EtcdServer.ts"
import * as TcpProxy from "../../../packages/backends/test/fixtures/TcpProxy.ts"
import * as Faults from "./Faults.ts"
import * as Fleet from "./Fleet.ts"
import * as History from "./History.ts"
import * as Operator from "./Operator.ts"
import * as Witness from "./Witness.ts"

const registrants = 20
const watchers = 5
/** How soon after a heal watchers agree with etcd, and how soon whoever it forgot has put itself back. */
const convergence = Duration.seconds(5)
const returned = Duration.seconds(12)

/** A write that was on its way when its writer left may still arrive, and then lives for one lease: no longer. */
const lifetime = 15_000

const now = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos / 1_000_000n))

/** What must be flat: memory after a collection, and open sockets. */
const footprint = Effect.sync(() => {
  globalThis.gc?.()
  const sockets = process.getActiveResourcesInfo().filter((kind) => kind === "TCPSocketWrap").length
  return { heapMB: process.memoryUsage().heapUsed / 1e6, sockets }
})

type Footprint = Effect.Success<typeof footprint>

const soak = Effect.fnUntraced(function* (minutes: number, seed: number) {
  const violations: Array<string> = []
  const violation = (what: string) => {
    if (violations.length < 50 && !violations.includes(what)) violations.push(what)
  }
  const faults: Record<string, number> = Object.fromEntries(Faults.names.map((name) => [name, 0]))
  const footprints: Array<Footprint> = []
  /** For so long after an instance has vanished, the guard may bring it back as one of too many. */
  const doubt = Duration.toMillis((yield* Policy.MassRemoval).window)
  /** Since when nobody has seen whom, of those who have left: milliseconds on the monotonic clock. */
  const missed = new Map<Endpoint.InstanceId, number>()
  const buried = new Set<Endpoint.InstanceId>()
  const history = History.make(violation)
  let checks = 0
  let worst = 0
  /** Only what the run itself draws: the library's own draws would make a seed mean another run each time. */
  const random = yield* Random.withSeed(Random.Random, seed)
  const seeded = Effect.provideService(Random.Random, random)

  const servers = yield* EtcdServer.cluster(3)
  const members = yield* Effect.forEach(servers, (server) =>
    Effect.map(TcpProxy.make(server.port), (proxy): Faults.Member => ({ server, proxy }))
  )
  const direct = servers.map(({ address }) => address)
  const hosts = members.map(({ proxy }) => proxy.address)

  const clients = yield* Scope.make()
  const fleet = yield* Scope.provide(Fleet.make(registrants, hosts), clients)
  const witnesses = yield* Effect.forEach(Array.from({ length: watchers }), (_, index) =>
    Scope.provide(Witness.make(`watcher ${index}`, hosts, fleet, history, buried, violation), clients)
  )

  /** Which watcher does not see what etcd lists, or nothing. */
  const disagreement = Effect.gen(function* () {
    const listed = yield* Effect.option(Operator.listing(direct))
    if (Option.isNone(listed)) return "etcd does not answer"
    const { lines, revisions } = listed.value
    revisions.forEach(history.lists)
    for (const witness of witnesses) {
      const seen = witness.sees()
      if (seen.listed.join() === lines.join()) continue
      return `${witness.name} disagrees with etcd: ${difference(seen.listed, lines)}`
    }
    const ids = new Set(lines.map(idOf))
    const time = yield* now
    const held = new Set(witnesses.flatMap(({ sees }) => sees().held))
    for (const [id, leftAt] of fleet.left) {
      if (ids.has(id) || held.has(id)) missed.delete(id)
      else if (!missed.has(id)) missed.set(id, time)
      else if (time > leftAt + lifetime && time > (missed.get(id) ?? time) + doubt) buried.add(id)
    }
    return undefined
  })

  /** Which registrant runs without an entry, or nothing. */
  const absence = Effect.gen(function* () {
    const listed = yield* Effect.option(Operator.listing(direct))
    if (Option.isNone(listed)) return "etcd does not answer"
    const ids = new Set(listed.value.lines.map(idOf))
    for (const id of fleet.present().keys()) if (!ids.has(id)) return `${id} runs and is not registered`
    return undefined
  })

  /** Who still holds instances, or nobody. */
  const holding = Effect.sync(() => {
    const names = witnesses.flatMap(({ name, sees }) => (sees().held.length > 0 ? [name] : []))
    return names.length > 0 ? `${names.join(", ")}: holds did not end` : undefined
  })

  /** Waits until nothing is wrong; tells how long that took, and what was wrong last. */
  const until = Effect.fnUntraced(function* (
    question: Effect.Effect<string | undefined>,
    within: Duration.Duration,
    what: string
  ) {
    const since = yield* now
    let last = ""
    while (true) {
      const wrong = yield* question
      const took = (yield* now) - since
      if (wrong === undefined) return { took, last }
      last = wrong
      if (took > Duration.toMillis(within)) {
        violation(`${what}: ${wrong} after ${Math.round(took)} ms`)
        return { took, last }
      }
      yield* Effect.sleep("50 millis")
    }
  })

  yield* until(absence, returned, "at the start")
  yield* until(disagreement, convergence, "at the start")
  const startedAt = yield* now
  while ((yield* now) - startedAt < minutes * 60_000) {
    const fault = yield* seeded(Faults.draw(members))
    const which = yield* seeded(Random.nextIntBetween(0, registrants - 1))
    faults[fault.name] = (faults[fault.name] ?? 0) + 1
    const readBefore = witnesses.map(({ fullReads }) => fullReads())
    yield* fault.strike
    if (fault.name === "wipe") history.forget()
    yield* Effect.all([Effect.sleep(fault.lasts), fleet.replace(which)], { concurrency: 2, discard: true })
    yield* fault.heal
    const { took, last } = yield* until(disagreement, convergence, `after ${fault.name} #${checks}`)
    yield* until(absence, returned, `after ${fault.name} #${checks}`)
    if (fault.name === "compact") {
      const unread = Effect.sync(
        () => witnesses.find(({ fullReads }, index) => fullReads() === readBefore[index])?.name
      )
      yield* until(unread, convergence, `after ${fault.name} #${checks}, without a full read`)
    }
    history.check()
    checks++
    worst = Math.max(worst, took)
    const print = yield* footprint
    footprints.push(print)
    yield* Console.error(
      `${checks} ${fault.name} for ${Duration.toMillis(fault.lasts)} ms: agreed after ${Math.round(took)} ms ${last} ${JSON.stringify(print)}`
    )
    yield* Effect.sleep(Duration.millis(yield* seeded(Random.nextIntBetween(100, 1_000))))
  }

  yield* until(absence, returned, "at the end")
  yield* until(disagreement, convergence, "at the end")
  yield* until(holding, Duration.seconds(75), "at the end")
  const events = witnesses.reduce((sum, witness) => sum + witness.events(), 0)
  yield* Scope.close(clients, Exit.void)
  yield* left(direct).pipe(Effect.flatMap((what) => Effect.sync(() => what.forEach(violation))))
  flat(footprints).forEach(violation)

  const total = Object.values(faults).reduce((sum, count) => sum + count, 0)
  if (total < 10 * minutes) violation(`only ${total} faults in ${minutes} minutes`)
  const ok = violations.length === 0
  return { seed, minutes, faults, events, checks, worstConvergenceMs: Math.round(worst), violations, ok }
})

/** What the clients left behind in etcd, once the last lease that nobody renews has run out. */
const left = (hosts: ReadonlyArray<string>) =>
  Effect.repeat(Operator.leftOver(hosts), {
    schedule: Schedule.spaced("200 millis").pipe(Schedule.upTo({ times: lifetime / 200 })),
    while: (found) => found.length > 0
  })

const idOf = (text: string) => text.slice(0, text.indexOf(" "))

const difference = (seen: ReadonlyArray<string>, listed: ReadonlyArray<string>) =>
  [
    ...seen.filter((one) => !listed.includes(one)).map((one) => `+${one}`),
    ...listed.filter((one) => !seen.includes(one)).map((one) => `-${one}`)
  ].join(", ")

/** Compares the second quarter of the run with the last; sockets with room, because each fault opens more for a while. */
const flat = (all: ReadonlyArray<Footprint>): ReadonlyArray<string> => {
  const quarter = Math.floor(all.length / 4)
  if (quarter < 3) return []
  const most = (from: number, of: (one: Footprint) => number) => Math.max(...all.slice(from, from + quarter).map(of))
  const grown = (of: (one: Footprint) => number, factor: number) => {
    const [early, late] = [most(quarter, of), most(all.length - quarter, of)]
    return late > early * factor ? `from ${early.toFixed(1)} to ${late.toFixed(1)}` : undefined
  }
  const heap = grown(({ heapMB }) => heapMB, 1.25)
  const sockets = grown((one) => one.sockets, 2)
  return [
    ...(heap === undefined ? [] : [`the heap grew ${heap} MB`]),
    ...(sockets === undefined ? [] : [`open sockets grew ${sockets}`])
  ]
}

const command = Command.make(
  "soak",
  {
    minutes: Flag.Finite("minutes").pipe(
      Flag.withSchema(Schema.Finite.check(Schema.isGreaterThan(0))),
      Flag.withDefault(10),
      Flag.withDescription("How long faults go on")
    ),
    seed: Flag.Int("seed").pipe(Flag.withDefault(7), Flag.withDescription("Repeats the faults of an earlier run"))
  },
  Effect.fnUntraced(function* ({ minutes, seed }) {
    if (!EtcdServer.isInstalled) {
      process.exitCode = 1
      return yield* Console.error("soak: there is no etcd to run; install it (apt-get install etcd-server)")
    }
    const verdict = yield* Effect.scoped(soak(minutes, seed)).pipe(
      Effect.provideService(References.MinimumLogLevel, "None")
    )
    yield* Console.log(JSON.stringify(verdict))
    if (!verdict.ok) process.exitCode = 1
  })
)

Command.run(command, { version: "0.1.0" }).pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain)
