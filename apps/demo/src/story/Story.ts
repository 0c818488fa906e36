/**
 * The story: three servers, one client and one registry, a steady load, and everything that can go wrong.
 *
 * It tells what happens as it happens and ends with the evidence. It fails when it cannot be told to its end, and when
 * a promise did not hold. Whatever way it ends, it leaves no process and no file behind.
 */
import { Policy } from "@muster/core"
import { Endpoint, ServiceName } from "@muster/core/Endpoint"
import { Registry } from "@muster/core/Registry"
import { Discovery } from "@muster/runtime"
import { Clock, Console, Duration, Effect, FileSystem } from "effect"
import * as Backend from "../backend.ts"
import * as Customer from "../Customer.ts"
import { good } from "../Orders.ts"
import { count, output } from "../Screen.ts"
import * as Traffic from "../Traffic.ts"
import { Trouble } from "../Trouble.ts"
import { View } from "../View.ts"
import { until } from "../Wait.ts"
import { type Act, places, type Stage } from "./Acts.ts"
import { Evidence } from "./Evidence.ts"
import * as Fleet from "./Fleet.ts"
import * as Control from "./Control.ts"
import { RegistryControl } from "./RegistryControl.ts"
import { broken, type Report } from "./Report.ts"
import { make as makeStage } from "./Stage.ts"
import * as Telling from "./Telling.ts"

/** The promises that can be broken on purpose, each named by the field of the report that shows it. */
export const promises = ["failed", "executedTwice", "removedWhileServing"] as const

export interface Script {
  /** One that the story starts itself, by name, or a running one by its target. */
  readonly registry: string
  readonly acts: ReadonlyArray<Act>
  /** Requests a second. */
  readonly rate: number
  /** Multiplies every pause. */
  readonly pace: number
  readonly breaks: (typeof promises)[number] | undefined
}

export interface Told {
  readonly report: Report
  /** The promises that did not hold, as sentences. */
  readonly lies: ReadonlyArray<string>
  /** Why requests failed. */
  readonly problems: ReadonlyArray<string>
}

/** How often the figures of the last requests are shown. */
const pulse = Duration.seconds(4)

/** A request that is not answered so long after the last one was sent has failed. */
const grace = Duration.seconds(10)

/** Tells the story on standard output; with `json`, on standard error, and the report as one line on standard output. */
export const run = Effect.fn("story")(function* ({ json, ...script }: Script & { readonly json: boolean }) {
  const telling = Telling.make(yield* output(json ? "stderr" : "stdout"), stopwatch())
  const { report, lies, problems } = yield* tell(script, telling)
  telling.report(report, lies, problems)
  if (json) yield* Console.log(JSON.stringify(report))
  if (!report.ok) return yield* new Trouble({ message: `${count(lies.length, "promise")} did not hold` })
})

/** Tells the story in a folder of its own, which is gone afterwards, and answers with the evidence. */
export const tell = Effect.fn("Story.tell")(
  function* (script: Script, telling: Telling.Telling) {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped({ prefix: "muster-demo-" })
    // The servers of the story leave its registry before the registry goes.
    return yield* Effect.provide(Effect.scoped(play(script, telling, folder)), Control.layer(script.registry, folder))
  },
  Effect.scoped,
  Effect.catchTag("PlatformError", ({ message }) => Effect.fail(new Trouble({ message })))
)

const play = Effect.fnUntraced(function* (script: Script, telling: Telling.Telling, folder: string) {
  const { acts, breaks, pace, rate } = script
  const registry = yield* RegistryControl
  const service = ServiceName.make(registry.service ?? "orders")
  const servers = yield* Fleet.make({ service, registry: registry.serverTarget ?? registry.target, folder })
  const fleet: Fleet.Fleet = registry.attend === undefined ? servers : yield* registry.attend(servers)
  const attempt = breaks === "failed" ? yield* impatient : yield* Policy.Attempt
  const massRemoval = breaks === "removedWhileServing" ? yield* gullible : yield* Policy.MassRemoval

  const evidence: Evidence = new Evidence((address) => view.nameOf(address))
  const view: View = new View(massRemoval, performance, {
    tell: telling.happened,
    seen: (before, after) => {
      for (const id of before.keys()) if (!after.has(id) && fleet.isServing(id)) evidence.removedWhileServing++
      evidence.pickable(view.pickable)
    }
  })
  const stage = makeStage({ fleet, registry, view, evidence, telling, pace })

  const figures = Effect.sync(() => {
    telling.figures(evidence.recent, view.frozenForMs)
    evidence.look()
  })

  const perform = Effect.fnUntraced(function* ({ name, title, play }: Act) {
    evidence.begin(name, view.pickable)
    telling.act(name, title)
    yield* Effect.raceFirst(play(stage), Effect.forever(Effect.andThen(Effect.sleep(pulse), figures)))
    if (evidence.recent.answers >= rate) yield* figures
  })

  telling.begin(registry.target, rate)
  yield* Effect.gen(function* () {
    yield* Effect.flatMap(Discovery.Discovery, ({ subscribe }) => subscribe(service))
    yield* Effect.forEach(places, stage.start, { concurrency: "unbounded", discard: true })
    if (breaks === "executedTwice") yield* repeat(stage)
    if (breaks === "removedWhileServing") {
      const victim = stage.instance("birch")
      yield* fleet.expel?.(victim) ?? expel(view.endpoints.get(victim), registry.target)
    }
    yield* Traffic.run(service, rate, evidence).pipe(
      Effect.provideService(Policy.Attempt, attempt),
      Effect.raceFirst(Effect.forEach(acts, perform, { discard: true }))
    )
    yield* Effect.timeoutOption(
      until(() => evidence.isComplete),
      grace
    )
  }).pipe(
    Effect.provide(Customer.layer(registry.resolver ?? Backend.resolver(registry.target), view)),
    Effect.provideService(Policy.MassRemoval, massRemoval)
  )
  evidence.close()

  const { phases, lostInKill, problems, removedWhileServing } = evidence
  const told = {
    registry: registry.name,
    requests: phases.reduce((sum, { requests }) => sum + requests, 0),
    failed: phases.reduce((sum, { failed }) => sum + failed, 0),
    executedTwice: yield* fleet.executedTwice,
    phases,
    frozen: { times: view.frozen.times, maxAgeMs: Math.round(view.frozen.maxAgeMs) },
    removedWhileServing,
    lostInKill
  }
  const lies = broken(told)
  return { report: { ...told, ok: lies.length === 0 }, lies, problems } satisfies Told
})

/** Milliseconds since it was made. */
const stopwatch = () => {
  const startedAt = performance.now()
  return () => performance.now() - startedAt
}

/** A client that never tries again. */
const impatient = Effect.map(Policy.Attempt, (attempt) => ({ ...attempt, attempts: 1 }))

/** A client that believes whatever the registry takes away. */
const gullible = Effect.map(Policy.MassRemoval, (massRemoval) => ({ ...massRemoval, window: Duration.zero }))

/** Takes a server that serves off the registry: claims its id as a later process would, and gives it back. */
const expel = (endpoint: Endpoint | undefined, target: string) =>
  Effect.gen(function* () {
    if (endpoint === undefined) return
    const registry = yield* Registry
    const impostor = new Endpoint({ ...endpoint, startedAt: yield* Clock.currentTimeMillis })
    yield* Effect.flatMap(registry.register(impostor, Duration.seconds(10)), registry.revoke)
  }).pipe(
    Effect.mapError(({ message }) => new Trouble({ message })),
    Effect.provide(Backend.registry(target))
  )

/** Servers that execute every order twice. */
const repeat = (stage: Stage) =>
  Effect.forEach(places, (place) => stage.conduct(place, { ...good, repeating: true }), { discard: true })
