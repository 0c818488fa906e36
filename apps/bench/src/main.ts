/**
 * `npm run bench`: what Muster costs, each figure beside that of a peer or a limit measured in the same run.
 *
 * `-- --only P4,P9` measures only those lines of the cost table. Prints a table, with `--markdown` the one of the README;
 * with `--json` ends standard output with one line of JSON. Exit code 1 if a figure misses its bar.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, References, Runtime, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import * as EtcdServer from "../../../packages/backends/test/fixtures/EtcdServer.ts"
import { p7 } from "../../simulate/src/p7.ts"
import * as Child from "./Child.ts"
import { coldStart } from "./coldStart.ts"
import { etcdLatency } from "./etcdLatency.ts"
import { etcdLeases } from "./etcdLeases.ts"
import { etcdOutage } from "./etcdOutage.ts"
import { etcdWatch } from "./etcdWatch.ts"
import { httpCost } from "./httpCost.ts"
import { localLatency } from "./localLatency.ts"
import { lostRequests } from "./lostRequests.ts"
import { pickCost } from "./pickCost.ts"
import { consulLatency, nacosLatency } from "./registryLatency.ts"
import { consulLeases, nacosLeases } from "./registryLeases.ts"
import type { Row } from "./Row.ts"
import { snapshotCost } from "./snapshotCost.ts"
import * as Table from "./Table.ts"

class Missed extends Schema.TaggedError<Missed>()("Missed", {}) {
  override readonly [Runtime.errorReported] = false
}

interface Measurement {
  /** The line of the cost table that it answers. */
  readonly id: string
  readonly rows: Effect.Effect<ReadonlyArray<Row>, unknown, NodeServices.NodeServices>
}

/** Where there is no etcd, what needs it is left out, and that is said. */
const onEtcd = (rows: Measurement["rows"]): Measurement["rows"] =>
  EtcdServer.isMissing ? Effect.as(Console.error("There is no etcd here: what needs it is left out."), []) : rows

const measurements: ReadonlyArray<Measurement> = [
  { id: "P1", rows: pickCost },
  { id: "P2", rows: httpCost },
  { id: "P3", rows: snapshotCost },
  { id: "P4", rows: localLatency },
  { id: "P4", rows: onEtcd(etcdLatency) },
  { id: "P5", rows: onEtcd(etcdOutage) },
  { id: "P6", rows: coldStart },
  { id: "P7", rows: p7 },
  { id: "P8", rows: onEtcd(lostRequests) },
  { id: "P9", rows: onEtcd(etcdWatch) },
  { id: "P10", rows: onEtcd(etcdLeases) },
  { id: "Consul", rows: consulLeases },
  { id: "Consul", rows: consulLatency },
  { id: "Nacos", rows: nacosLeases },
  { id: "Nacos", rows: nacosLatency }
]

const ids = new Set(measurements.map(({ id }) => id))

const bench = Command.make(
  "bench",
  {
    json: Flag.Boolean("json").pipe(
      Flag.withDescription("End standard output with the rows as one line of JSON; the table goes to standard error"),
      Flag.withDefault(false)
    ),
    markdown: Flag.Boolean("markdown").pipe(
      Flag.withDescription("Print the table as Markdown, with the date, the command and the size of the machine"),
      Flag.withDefault(false)
    ),
    only: Flag.String("only").pipe(
      Flag.withDescription(`Measure only these, separated by commas: ${[...ids].join(", ")}`),
      Flag.map((text) => text.split(",")),
      Flag.filter(
        (chosen) => chosen.every((id) => ids.has(id)),
        () => `choose from ${[...ids].join(", ")}`
      ),
      Flag.withDefault([...ids])
    )
  },
  Effect.fnUntraced(function* ({ json, markdown, only }) {
    yield* Child.built
    const chosen = measurements.filter(({ id }) => only.includes(id))
    const rows = (yield* Effect.forEach(chosen, ({ rows }) => rows)).flat()
    const command = only.length === ids.size ? "npm run bench" : `npm run bench -- --only ${only.join(",")}`
    const table = markdown ? yield* Table.markdown(rows, command) : Table.text(rows)
    yield* json ? Console.error(table) : Console.log(table)
    if (json) yield* Console.log(JSON.stringify({ rows }))
    if (rows.some(({ ok }) => !ok)) return yield* new Missed()
  })
).pipe(Command.withDescription("Measure what Muster costs, beside peers and limits of the same run"))

Command.run(bench, { version: "0.1.0" }).pipe(
  Effect.provideService(References.MinimumLogLevel, "Error"),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
