/**
 * A service in virtual time: discrete events, seeded, thousands of simulated seconds in a real one.
 *
 * Open-loop clients send requests through their balancers to simulated servers, whatever became of the requests before.
 * Arrivals, sizes and what servers draw come from streams of their own, so every balancer meets the same world. The
 * list passes through the real mass-removal guard. Nothing here decides anything that a balancer decides.
 */
import { Endpoint, Guard, Policy, RetryBudget } from "@muster/core"
import { Duration, Effect } from "effect"
import * as Agenda from "./Agenda.ts"
import { epoch, type Make } from "./Client.ts"
import * as Flights from "./Flights.ts"
import * as Histogram from "./Histogram.ts"
import * as Seeded from "./Seeded.ts"
import * as Servers from "./Servers.ts"

export interface Scene {
  readonly servers: ReadonlyArray<Servers.Server>
  /** The servers listed at first; by default all. */
  readonly listed?: ReadonlyArray<number> | undefined
  readonly weights?: ReadonlyArray<number> | undefined
  /** The zones of the servers, and of the clients, which take turns. */
  readonly zones?: ReadonlyArray<string> | undefined
  readonly clients: number
  /** How many of the servers a client is to use on average; all by default. */
  readonly subset?: number | undefined
  /** Requests per second of all clients together; more than one: for an equal part of the time each, in turn. */
  readonly rates: ReadonlyArray<number>
  readonly seconds: number
  readonly size: Seeded.Size
  /** Callers give up after so many milliseconds. */
  readonly patience?: number | undefined
  /** How many attempts a request has; retries are paid out of the client's budget. */
  readonly attempts?: number | undefined
  /** What else happens: at so many milliseconds. */
  readonly script?: ReadonlyArray<readonly [at: number, act: (stage: Stage) => void]> | undefined
}

/** What a script may change. */
interface Stage {
  readonly servers: ReadonlyArray<Servers.Server>
  /** Lists a server; `startedAt` in milliseconds of the simulation says when its process started. */
  readonly put: (server: number, startedAt?: number) => void
  readonly remove: (...servers: ReadonlyArray<number>) => void
}

export interface Result {
  readonly seconds: number
  readonly latencies: Histogram.Histogram
  readonly requests: number
  /** Requests without an answer, by second of their arrival, and how many there were in all. */
  readonly errors: Float64Array
  readonly errorCount: number
  readonly retries: number
  readonly retriesRefused: number
  /** Attempts sent to each server, by second. */
  readonly sent: ReadonlyArray<Float64Array>
  readonly events: ReadonlyArray<{ readonly at: number; readonly server: number; readonly what: string }>
}

export const deadline = 2000

const defaults = Effect.runSync(
  Effect.all({ guard: Policy.MassRemoval, budget: Policy.RetryBudget, attempt: Policy.Attempt })
)
const budgetOptions = { ...defaults.budget, window: Duration.toMillis(defaults.budget.window) }
export const attempts = defaults.attempt.attempts

export const run = (scene: Scene, make: Make, seed: number): Result => {
  const seconds = Math.ceil(scene.seconds)
  const arrivals = Seeded.make(3 * seed + 1_000_003)
  const nature = Seeded.make(3 * seed + 2_000_003)
  const sent = scene.servers.map(() => new Float64Array(seconds))
  const errors = new Float64Array(seconds)
  const latencies = Histogram.make()
  const events: Array<Result["events"][number]> = []
  const clients = Array.from({ length: scene.clients }, (_, client) =>
    make({
      servers: scene.servers,
      zone: scene.zones?.[client % scene.zones.length],
      client,
      clients: scene.clients,
      subset: scene.subset,
      random: Seeded.make(7919 * seed + 31 * client + 3_000_003),
      log: (event) => events.push(event)
    })
  )
  const budgets = clients.map(() => RetryBudget.make(budgetOptions))
  const count = { requests: 0, errorCount: 0, retries: 0, retriesRefused: 0 }

  let guarded = Guard.replace(
    Guard.empty,
    (scene.listed ?? scene.servers.map((_, server) => server)).map((server) => endpoint(scene, server, 0))
  )
  const publish = (next: Guard.Guarded, now: number) => {
    if (next.snapshot !== guarded.snapshot) for (const client of clients) client.follow(next.snapshot, now)
    guarded = next
  }
  const change = (deltas: Parameters<typeof Guard.apply>[1], now: number) =>
    publish(Guard.apply(guarded, deltas, now, defaults.guard), now)
  for (const client of clients) client.follow(guarded.snapshot, 0)

  const agenda = Agenda.make()
  const flights = Flights.make()

  /** Sends one attempt of a request; `before` are the flights of its earlier ones. */
  const send = (client: number, now: number, beganAt: number, size: number, before: ReadonlyArray<number>) => {
    const flight = Flights.take(flights)
    const server = clients[client].choose(flight, now, size, before)
    if (server < 0) {
      flights.spare.push(flight)
      return fail(beganAt, before)
    }
    const at = Math.floor(now / 1000)
    if (at < seconds) sent[server][at]++
    const target = scene.servers[server]
    Servers.submit(target, now, size, nature)
    const leftAt = scene.patience === undefined ? Infinity : beganAt + scene.patience
    let end = now + target.after
    let code: Servers.Code = target.code
    if (end > now + deadline) {
      end = now + deadline
      code = Servers.failed
    }
    if (end > leftAt) {
      end = leftAt
      code = Servers.gaveUp
    }
    flights.client[flight] = client
    flights.server[flight] = server
    flights.code[flight] = code
    flights.sentAt[flight] = now
    flights.beganAt[flight] = beganAt
    flights.size[flight] = size
    flights.earlier[flight] = before
    Agenda.push(agenda, end, flight)
  }

  const fail = (beganAt: number, before: ReadonlyArray<number>) => {
    count.errorCount++
    errors[Math.min(seconds - 1, Math.floor(beganAt / 1000))]++
    release(before)
  }

  const release = (before: ReadonlyArray<number>) => {
    for (let index = 0; index < before.length; index++) flights.spare.push(before[index])
  }

  const land = (flight: number, now: number) => {
    const code = flights.code[flight]
    const client = flights.client[flight]
    const server = flights.server[flight]
    const beganAt = flights.beganAt[flight]
    clients[client].settle(flight, server, asCode[code], now - flights.sentAt[flight], now)
    if (code === Servers.refused) publish(Guard.refused(guarded, idOf(server)), now)
    const before = flights.earlier[flight]
    if (code === Servers.answered) {
      Histogram.record(latencies, now - beganAt)
      flights.spare.push(flight)
      return release(before)
    }
    const tried = before.length === 0 ? [flight] : [...before, flight]
    if (code === Servers.gaveUp || tried.length >= (scene.attempts ?? 1)) return fail(beganAt, tried)
    if (!RetryBudget.withdraw(budgets[client], now)) {
      count.retriesRefused++
      return fail(beganAt, tried)
    }
    count.retries++
    send(client, now, beganAt, flights.size[flight], tried)
  }

  const script = (scene.script ?? []).toSorted(([a], [b]) => a - b)
  const part = (scene.seconds * 1000) / scene.rates.length
  const gap = (now: number) =>
    (-1000 / scene.rates[Math.min(scene.rates.length - 1, Math.floor(now / part))]) * Math.log(1 - arrivals())
  let arrivesAt = gap(0)
  let line = 0
  while (true) {
    const landsAt = Agenda.nextAt(agenda)
    const actsAt = line < script.length ? script[line][0] : Infinity
    if (actsAt <= landsAt && actsAt <= arrivesAt) {
      if (actsAt === Infinity) break
      script[line++][1]({
        servers: scene.servers,
        put: (server, startedAt) => {
          const wall = startedAt === undefined ? 0 : epoch + startedAt
          change([{ _tag: "Put", endpoint: endpoint(scene, server, wall) }], actsAt)
        },
        remove: (...servers) =>
          change(
            servers.map((server) => ({ _tag: "Removed", id: idOf(server) })),
            actsAt
          )
      })
    } else if (landsAt <= arrivesAt) {
      if (landsAt === Infinity) break
      land(Agenda.pop(agenda), landsAt)
    } else {
      const client = scene.clients === 1 ? 0 : Math.floor(arrivals() * scene.clients)
      count.requests++
      if (scene.attempts !== undefined) RetryBudget.deposit(budgets[client], arrivesAt)
      send(client, arrivesAt, arrivesAt, scene.size(arrivals), none)
      arrivesAt += gap(arrivesAt)
      if (arrivesAt >= scene.seconds * 1000) arrivesAt = Infinity
    }
  }
  return { seconds, latencies, errors, sent, events, ...count }
}

const none: ReadonlyArray<number> = []

const asCode: ReadonlyArray<Servers.Code> = [0, 1, 2, 3, 4, 5]

const idOf = (server: number) => Endpoint.InstanceId.make(`s${server}`)

const endpoint = ({ weights, zones }: Scene, server: number, startedAt: number): Endpoint.Endpoint =>
  new Endpoint.Endpoint({
    service: Endpoint.ServiceName.make("orders"),
    id: idOf(server),
    host: "10.0.0.1",
    port: server + 1,
    weight: weights?.[server] ?? 1,
    startedAt,
    ...(zones === undefined ? {} : { zone: zones[server % zones.length] })
  })
