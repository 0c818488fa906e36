/**
 * `npm run demo`: the story by default, one server or one client of it, or a scripted registry for them.
 *
 * What a person can put right is one line on standard error and exit code 1; help and everything else is Effect's own.
 * Each program is loaded only when it is asked for. A server, a client or a registry that is told to stop has done its
 * work: exit code 0; a story that is interrupted has proved nothing.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Console, Effect, Exit, Logger, Option, References, Runtime, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { acts } from "./story/Acts.ts"
import { registries } from "./story/Control.ts"
import { Trouble } from "./Trouble.ts"

const service = Flag.String("service").pipe(
  Flag.withDescription("The name that clients call, as in http://orders/… (default: orders)")
)

const port = Flag.Int("port").pipe(
  Flag.withDescription("The port to listen on (default: a free one)"),
  Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65535 }))),
  Flag.withDefault(0)
)

const rate = (perSecond: number) =>
  Flag.Finite("rate").pipe(
    Flag.withDescription(`Requests a second (default: ${perSecond})`),
    Flag.withSchema(Schema.Finite.check(Schema.isBetween({ minimum: 0.1, maximum: 10_000 }))),
    Flag.withDefault(perSecond)
  )

const server = Command.make(
  "server",
  {
    registry: Flag.String("registry").pipe(
      Flag.withDescription("Where to register: local:./orders.db, or none for clients that are given the addresses")
    ),
    service: Flag.withDefault(service, "orders"),
    id: Flag.optional(Flag.String("id").pipe(Flag.withDescription("The id of this instance (default: a random one)"))),
    host: Flag.String("host").pipe(
      Flag.withDescription("The address to listen on; 0.0.0.0 means all of them (default: 127.0.0.1)"),
      Flag.withDefault("127.0.0.1")
    ),
    port,
    weight: Flag.Finite("weight").pipe(
      Flag.withDescription("The share of requests relative to the others (default: 1)"),
      Flag.withDefault(1)
    ),
    zone: Flag.optional(Flag.String("zone").pipe(Flag.withDescription("Where this instance runs"))),
    tally: Flag.optional(
      Flag.String("tally").pipe(Flag.withDescription("A file that gets one line for each order that was executed"))
    ),
    untilStdinEnds: Flag.Boolean("until-stdin-ends").pipe(
      Flag.withDescription("Stop when standard input ends, as it does when the parent process dies"),
      Flag.withDefault(false)
    )
  },
  (options) =>
    Effect.flatMap(
      Effect.promise(() => import("./server.ts")),
      ({ run }) => run(options)
    )
).pipe(
  Command.withDescription("Run one orders server until it is told to stop"),
  Command.withExamples([
    { command: "npm run demo -- server --registry local:./orders.db", description: "Register in a file" },
    { command: "npm run demo -- server --registry none --port 4001", description: "Register nowhere" }
  ])
)

const client = Command.make(
  "client",
  {
    registry: Flag.String("registry").pipe(
      Flag.withDescription("Where the servers are: local:./orders.db or direct:///127.0.0.1:4001,127.0.0.1:4002")
    ),
    service: Flag.optional(service),
    rate: rate(20),
    remember: Flag.optional(
      Flag.String("remember").pipe(
        Flag.withDescription("A folder for what was seen last, to start with while the registry is down")
      )
    )
  },
  (options) =>
    Effect.flatMap(
      Effect.promise(() => import("./client.ts")),
      ({ run }) => run(options)
    )
).pipe(
  Command.withDescription("Call the orders service at a steady rate and show what happens, until told to stop"),
  Command.withExamples([
    { command: "npm run demo -- client --registry local:./orders.db", description: "Find servers in a file" },
    {
      command: "npm run demo -- client --registry direct:///127.0.0.1:4001,127.0.0.1:4002",
      description: "Call these two"
    }
  ])
)

const fake = Command.make(
  "fake",
  {
    kind: Argument.Literals("registry", ["k8s", "consul", "nacos"]).pipe(Argument.withDescription("What it speaks")),
    port
  },
  (options) =>
    Effect.flatMap(
      Effect.promise(() => import("./fake.ts")),
      ({ run }) => run(options)
    )
).pipe(
  Command.withDescription("Run a scripted registry on 127.0.0.1 until told to stop, and print its target"),
  Command.withExamples([
    { command: "npm run demo -- fake k8s", description: "A Kubernetes API server, with a kubeconfig for it" },
    { command: "npm run demo -- fake consul --port 8500", description: "A Consul agent where they usually are" }
  ])
)

const names = acts.map(({ name }) => name)

const story = Command.make(
  "demo",
  {
    registry: Flag.String("registry").pipe(
      Flag.withDescription(`What the story is told on: ${registries.join(", ")} (default: local)`),
      Flag.withDefault("local")
    ),
    json: Flag.Boolean("json").pipe(
      Flag.withDescription("End standard output with the evidence as one line of JSON; tell on standard error"),
      Flag.withDefault(false)
    ),
    acts: Flag.optional(
      Flag.String("acts").pipe(Flag.withDescription(`Only some of ${names.join(",")}, separated by commas`))
    ),
    rate: rate(80),
    pace: Flag.Finite("pace").pipe(
      Flag.withDescription("Multiplies every pause of the story: 0.5 tells it in about half the time (default: 1)"),
      Flag.withSchema(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))),
      Flag.withDefault(1)
    ),
    breaks: Flag.optional(
      Flag.Literals("break", ["failed", "executedTwice", "removedWhileServing"]).pipe(
        Flag.withDescription("Break this promise on purpose, to see that the evidence shows it")
      )
    )
  },
  Effect.fnUntraced(function* ({ acts: chosen, breaks, ...options }) {
    const wanted = Option.match(chosen, { onNone: () => names, onSome: (text) => text.split(",") })
    const unknown = wanted.filter((name) => !acts.some((act) => act.name === name))
    if (unknown.length > 0) {
      return yield* new Trouble({ message: `there is no act "${unknown.join(",")}"; there are ${names.join(",")}` })
    }
    const { run } = yield* Effect.promise(() => import("./story/Story.ts"))
    yield* run({
      ...options,
      acts: acts.filter(({ name }) => wanted.includes(name)),
      breaks: Option.getOrUndefined(breaks)
    })
  })
).pipe(
  Command.withDescription("Three servers, one client, and everything that can go wrong: no request may fail"),
  Command.withExamples([
    { command: "npm run demo", description: "On a file of its own" },
    { command: "npm run demo -- --registry etcd", description: "On an etcd of its own" },
    {
      command: "npm run demo -- --registry etcd://127.0.0.1:2379",
      description: "On a running etcd, of which nothing but a random prefix of its own is touched"
    }
  ]),
  Command.withSubcommands([server, client, fake])
)

const endless = new Set(["server", "client", "fake"])

const teardown: Runtime.Teardown = (exit, onExit) => {
  const stopped = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
  if (stopped && process.argv.slice(2).some((word) => endless.has(word))) return onExit(0)
  return Runtime.defaultTeardown(exit, onExit)
}

// A terminal that is closed, or a pipe that nobody reads any more, ends a program as a signal does: it cleans up.
const stop = () => process.kill(process.pid, "SIGTERM")
process.on("SIGHUP", stop)
for (const stream of [process.stdout, process.stderr]) stream.on("error", stop)

Command.run(story, { version: "0.1.0" }).pipe(
  // What Muster logs below an error is what these programs show in their own words.
  Effect.provideService(References.MinimumLogLevel, "Error"),
  Effect.provideService(Logger.LogToStderr, true),
  Effect.catchTag("RegistryError", ({ message }) => Effect.fail(new Trouble({ message }))),
  Effect.tapErrorTag("Trouble", ({ message }) => Console.error(`muster: ${message}`)),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({ teardown })
)
