/**
 * One client that anybody can watch: it calls the orders service at a steady rate and shows who is there, who does the
 * work, how long that takes, and what happens.
 *
 * A terminal gets a screen that is drawn anew; anything else gets a line each second and one for each happening. It
 * runs until it is told to stop, whatever the registry does; a registry that it can never read ends it.
 */
import { DiscoveryState, Policy } from "@muster/core"
import { type Endpoint, ServiceName } from "@muster/core/Endpoint"
import { Discovery, SnapshotFiles } from "@muster/runtime"
import { Effect, Exit, FileSystem, HashMap, Layer, Option, Schema } from "effect"
import * as Backend from "./backend.ts"
import * as Customer from "./Customer.ts"
import { Figures } from "./Figures.ts"
import { because, sentence } from "./Happening.ts"
import { bar, canvas, count, output, type Output, percent, table, time } from "./Screen.ts"
import * as Traffic from "./Traffic.ts"
import { Trouble } from "./Trouble.ts"
import { View } from "./View.ts"
import { until } from "./Wait.ts"

export interface Options {
  readonly registry: string
  readonly service: Option.Option<string>
  /** Requests a second. */
  readonly rate: number
  /** The folder in which the last snapshot is kept for the next run. */
  readonly remember: Option.Option<string>
}

/** Figures are of the answers of so many last milliseconds. */
const window = 5000
const lately = `last ${window / 1000} s`

/** So many last happenings stay on the screen. */
const remembered = 8

const barWidth = 24

interface Answer {
  readonly at: number
  readonly instance: string
  readonly latencyMs: number
}

/** Runs one client until it is told to stop. */
export const run = Effect.fn("client")(function* ({ registry, rate, ...options }: Options) {
  const name = Option.getOrElse(options.service, () => Backend.serviceOf(registry) ?? "orders")
  const service = yield* Schema.decodeUnknownEffect(ServiceName)(name).pipe(
    Effect.mapError(() => new Trouble({ message: `"${name}" is no service name: use lower-case letters and digits` }))
  )
  const screen = yield* output("stdout")
  const journal: Array<string> = []
  const view = new View(yield* Policy.MassRemoval, performance, {
    tell: (happening) => note(sentence(happening, screen.paint)),
    seen: () => undefined
  })
  const work = new Work(view)

  const note = (line: string) => {
    const stamped = `${new Date().toLocaleTimeString("en-GB")}  ${line}`
    if (!screen.isTerminal) return screen.write(`${stamped}\n`)
    journal.push(stamped)
    if (journal.length > remembered) journal.shift()
  }

  const line = summary(view, work)
  const show = screen.isTerminal
    ? Effect.flatMap(canvas(screen), (draw) =>
        every("250 millis", () =>
          draw([
            ...headline(registry, service, rate, view, work, screen),
            "",
            ...roster(view, work, screen),
            "",
            ...journal
          ])
        )
      )
    : Effect.andThen(
        Effect.sleep("1 second"),
        every("1 second", () => note(line()))
      )

  const call = Effect.andThen(
    until(() => view.pickable > 0),
    Traffic.run(service, rate, work)
  )
  yield* Effect.gen(function* () {
    yield* Effect.flatMap(Discovery.Discovery, ({ subscribe }) => subscribe(service))
    yield* Effect.raceAllFirst([call, show, readable(view)])
  }).pipe(
    // Requests end before the connections that they use.
    Effect.scoped,
    Effect.provide(Layer.provide(Customer.layer(Backend.resolver(registry), view), memory(options.remember))),
    Effect.onExit((exit) =>
      Effect.sync(() => {
        if (Exit.hasInterrupts(exit) || work.answered + work.failed > 0) screen.write(`${total(work)}\n`)
      })
    )
  )
})

/** A folder that cannot be used is better known now than when the registry is down. */
const memory = Option.match({
  onNone: () => Layer.empty,
  onSome: (directory: string) =>
    Layer.unwrap(
      FileSystem.FileSystem.use((fs) =>
        Effect.andThen(fs.makeDirectory(directory, { recursive: true }), fs.access(directory, { writable: true }))
      ).pipe(
        Effect.mapError(() => new Trouble({ message: `the folder ${directory} cannot be written` })),
        Effect.as(SnapshotFiles.layer({ directory }))
      )
    )
})

/** What the requests came to, all of them and the last ones. */
class Work implements Traffic.Listener {
  readonly #view: View
  #recent: Array<Answer> = []
  answered = 0
  failed = 0
  lastProblem: string | undefined

  constructor(view: View) {
    this.#view = view
  }

  due(): void {}

  sent(): void {}

  done({ addresses }: Traffic.Errand, latencyMs: number, problem: string | undefined): void {
    if (problem !== undefined) {
      this.failed++
      this.lastProblem = problem
      return
    }
    this.answered++
    this.#recent.push({ at: performance.now(), instance: this.#view.nameOf(addresses.at(-1) ?? ""), latencyMs })
  }

  /** The figures of the last answers: all of them, or those of one instance. */
  recent(instance?: string): Figures {
    const from = performance.now() - window
    if ((this.#recent[0]?.at ?? Infinity) < from) this.#recent = this.#recent.filter(({ at }) => at >= from)
    const figures = new Figures()
    for (const answer of this.#recent) {
      if (instance === undefined || answer.instance === instance) figures.answered(answer.instance, answer.latencyMs)
    }
    return figures
  }
}

const every = (interval: "250 millis" | "1 second", draw: () => void) =>
  Effect.forever(Effect.andThen(Effect.sync(draw), Effect.sleep(interval)))

/** Fails when the registry said that it will never be readable. */
const readable = (view: View) =>
  Effect.forever(
    Effect.suspend(() => {
      const { state } = view
      const cause = state._tag === "Loading" ? state.cause : undefined
      return cause?._tag === "Failed" && !cause.error.isTransient
        ? Effect.fail(new Trouble({ message: cause.error.message }))
        : Effect.sleep("100 millis")
    })
  )

/** How it is with the registry, and why where that is not well. */
const connection = ({ state, frozenForMs, rememberedMs }: View): readonly [how: string, why?: string] => {
  switch (state._tag) {
    case "Loading":
      return state.cause === undefined ? ["asking the registry"] : ["waiting for the registry", because(state.cause)]
    case "Live":
      return ["following the registry"]
    case "Failed":
      return ["gave up on the registry", because(state.cause)]
    default: {
      const served = rememberedMs === undefined ? "" : ` with what was seen ${time(rememberedMs)} ago`
      return [`frozen for ${time(frozenForMs)}${served}`, because(state.cause)]
    }
  }
}

const isEmpty = ({ endpoints, state }: View) => DiscoveryState.isKnown(state) && endpoints.size === 0

const latencies = (figures: Figures) => `p50 ${time(figures.latency(0.5))}  p99 ${time(figures.latency(0.99))}`

const headline = (registry: string, service: string, rate: number, view: View, work: Work, { paint }: Output) => {
  const [how, why] = connection(view)
  const state = why === undefined ? how : `${how}, because ${why}`
  const failures = work.failed === 0 ? "none failed" : paint.bad(`${work.failed} failed: ${work.lastProblem}`)
  return [
    `${paint.strong(service)}  ${paint.faint(registry)}  ${view.state._tag === "Live" ? paint.good(state) : paint.accent(state)}`,
    `${count(rate, "request")} a second, ${work.answered} answered, ${failures}  ${paint.faint(`${lately}: ${latencies(work.recent())}`)}`
  ]
}

const roster = (view: View, work: Work, { paint }: Output): ReadonlyArray<string> => {
  const shares = new Map(work.recent().shares)
  const rows = [...view.endpoints.values()]
    .toSorted((a, b) => a.id.localeCompare(b.id))
    .map((endpoint) => {
      const share = shares.get(endpoint.id) ?? 0
      const figures = work.recent(endpoint.id)
      const length = bar(share, barWidth).padEnd(barWidth)
      return [endpoint.id, endpoint.address, standing(view, endpoint), length, percent(share), latencies(figures)]
    })
  if (rows.length === 0) return [paint.faint(isEmpty(view) ? "nobody is there" : "")]
  return table(rows, new Set([4]))
}

const standing = ({ state, ejected }: View, { draining, id }: Endpoint): string => {
  if (draining) return "draining"
  if (ejected.has(id)) return "ejected"
  return DiscoveryState.isKnown(state) && HashMap.has(state.held, id) ? "held" : "in use"
}

const total = ({ answered, failed }: Work) => `${count(answered, "request")} answered, ${failed} failed`

/** A line of figures, each time it is asked for; a reason that it has just given is not given again. */
const summary = (view: View, work: Work) => {
  const [whyFrozen, whyFailed] = [newsOnly(), newsOnly()]
  return (): string => {
    const figures = work.recent()
    const shares = figures.shares.map(([instance, share]) => `${instance} ${percent(share)}`).join(", ")
    const none = isEmpty(view) ? "no answers: nobody is there" : "no answers"
    const [how, why] = connection(view)
    return [
      figures.answers > 0 ? `${lately}: ${shares}, ${latencies(figures)}` : none,
      `${work.answered} answered`,
      ...(work.failed === 0 ? [] : [`${work.failed} failed${whyFailed(": ", work.lastProblem)}`]),
      ...(view.state._tag === "Live" ? [] : [`${how}${whyFrozen(", because ", why)}`])
    ].join(" · ")
  }
}

const newsOnly = () => {
  let last: string | undefined
  return (conjunction: string, reason: string | undefined): string => {
    if (reason === last) return ""
    last = reason
    return reason === undefined ? "" : `${conjunction}${reason}`
  }
}
