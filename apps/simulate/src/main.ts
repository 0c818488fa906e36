/**
 * `npm run simulate -- <scenario> [--policy …] [--seed n]`: how policies balance in virtual time, as a table and a picture.
 * `npm run simulate -- --all`: every scenario, size and seed, and whether the default policy passes its gates.
 *
 * With `--all` the last line of standard output is one line of JSON, and the exit code is 1 when a gate is missed.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, FileSystem, Option, Runtime, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { judge } from "./Gates.ts"
import { type Measured, p99 } from "./Measured.ts"
import { plan, workOf } from "./Plan.ts"
import { plot } from "./Plot.ts"
import { compared, policies } from "./policies.ts"
import type { Scenario } from "./Scenario.ts"
import { scenarios } from "./scenarios.ts"
import * as Table from "./Table.ts"
import { measureAll } from "./Threads.ts"

/** What a person can put right: one line on standard error. */
class Trouble extends Schema.TaggedError<Trouble>()("Trouble", { message: Schema.String }) {
  override readonly [Runtime.errorReported] = false
}

class Missed extends Schema.TaggedError<Missed>()("Missed", {}) {
  override readonly [Runtime.errorReported] = false
}

const of = (scenario: Scenario, all: ReadonlyArray<Measured>): ReadonlyArray<Measured> =>
  scenario.sizes.flatMap((n) =>
    scenario.clients.flatMap((clients) =>
      all
        .filter((one) => one.scenario === scenario.name && one.n === n && one.clients === clients)
        .toSorted((a, b) => order.indexOf(a.policy) - order.indexOf(b.policy))
    )
  )

const order = [...compared, ...Object.keys(policies)]

/** The verdicts of each size and number of clients. */
const judged = (scenario: Scenario, all: ReadonlyArray<Measured>) =>
  scenario.sizes.flatMap((n) =>
    scenario.clients.flatMap((clients) =>
      judge(
        scenario,
        of(scenario, all).filter((one) => one.n === n && one.clients === clients)
      )
    )
  )

const everything = Effect.gen(function* () {
  const cases = plan({ scenarios })
  const total = workOf(cases)
  let done = 0
  let told = 0
  const all = yield* measureAll(cases, (measured) => {
    done += workOf([measured])
    if (done < told) return
    process.stderr.write(`${Math.round((100 * done) / total)} %\n`)
    told = done + total / 20
  })
  for (const scenario of scenarios) {
    yield* Console.log(`\n${scenario.name}: ${scenario.summary}\n${Table.measured(of(scenario, all))}`)
  }
  const gates = scenarios.flatMap((scenario) => judged(scenario, all))
  const ok = gates.every((gate) => gate.ok)
  yield* Console.log(`\n${Table.verdicts(gates)}`)
  yield* Console.log(JSON.stringify({ gates, ok }))
  if (!ok) return yield* new Missed()
})

const one = Effect.fnUntraced(function* (
  scenario: Scenario,
  wanted: ReadonlyArray<string>,
  seed: Option.Option<number>,
  json: boolean,
  picture: string
) {
  const fs = yield* FileSystem.FileSystem
  const all = yield* measureAll(
    plan({
      scenarios: [scenario],
      policies: wanted.length > 0 ? wanted : undefined,
      seeds: Option.isSome(seed) ? [seed.value] : [0, 1, 2]
    })
  )
  const rows = of(scenario, all)
  const gates = judged(scenario, all)
  const say = json ? Console.error : Console.log
  yield* say(`${scenario.summary}\n\n${Table.measured(rows)}\n\n${Table.verdicts(gates)}\n`)
  const drawn = yield* Effect.option(fs.writeFileString(picture, plot(`${scenario.name}: ${scenario.summary}`, rows)))
  if (Option.isSome(drawn)) yield* say(`picture: ${picture}`)
  if (json) {
    const figures = rows.map((row) => ({ ...row, latencies: undefined, p99: p99(row) }))
    // Where nothing was judged, nothing is said.
    const ok = gates.length > 0 ? gates.every((gate) => gate.ok) : undefined
    yield* Console.log(JSON.stringify({ rows: figures, gates, ok }))
  }
  if (Option.isNone(drawn)) return yield* new Trouble({ message: `the picture ${picture} cannot be written` })
})

const simulate = Command.make(
  "simulate",
  {
    scenario: Argument.optional(
      Argument.Literals(
        "scenario",
        scenarios.map(({ name }) => name)
      )
    ),
    all: Flag.Boolean("all").pipe(
      Flag.withDescription("Every scenario with all its seeds and gates; ends with one line of JSON"),
      Flag.withDefault(false)
    ),
    policy: Flag.Literals("policy", Object.keys(policies)).pipe(
      Flag.withDescription("Only this policy; may be given several times"),
      Flag.between(0, Object.keys(policies).length)
    ),
    seed: Flag.optional(Flag.Int("seed").pipe(Flag.withDescription("Only this seed; by default 0, 1 and 2"))),
    json: Flag.Boolean("json").pipe(
      Flag.withDescription(
        "End standard output with the figures as one line of JSON; the table goes to standard error"
      ),
      Flag.withDefault(false)
    ),
    plot: Flag.optional(
      Flag.String("plot").pipe(Flag.withDescription("Where the picture goes; by default simulate-<scenario>.svg"))
    )
  },
  Effect.fnUntraced(function* ({ scenario, all, policy, seed, json, plot: picture }) {
    if (all) {
      const others = Option.isSome(scenario) || policy.length > 0 || Option.isSome(seed) || Option.isSome(picture)
      if (others || json) return yield* new Trouble({ message: "--all takes everything: give it alone" })
      return yield* everything
    }
    if (Option.isNone(scenario)) {
      const list = scenarios.map(({ name, summary }) => `  ${name.padEnd(18)} ${summary}`)
      return yield* Console.log(["Say which scenario, or --all:", ...list].join("\n"))
    }
    const chosen = scenarios.find(({ name }) => name === scenario.value)
    if (chosen === undefined) return
    yield* one(
      chosen,
      policy,
      seed,
      json,
      Option.getOrElse(picture, () => `simulate-${chosen.name}.svg`)
    )
  })
).pipe(Command.withDescription("Balance in virtual time, beside models of other balancers and an omniscient oracle"))

Command.run(simulate, { version: "0.1.0" }).pipe(
  Effect.tapErrorTag("Trouble", ({ message }) => Console.error(`simulate: ${message}`)),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
