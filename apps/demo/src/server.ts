/**
 * One orders server: it listens, registers once it answers, and leaves in the order that loses no request.
 *
 * It runs until it is told to stop. A registry that is down does not keep it from serving; one that will never take it
 * (no permission, no database) ends it with one sentence.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Endpoint } from "@muster/core"
import { Registrar } from "@muster/runtime"
import { Console, Effect, Layer, Logger, Option, Predicate, Random, References, Schema, Stdio, Stream } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import * as Backend from "./backend.ts"
import * as Shop from "./Shop.ts"
import { Trouble } from "./Trouble.ts"

export interface Options {
  /** A target that can be written, or `none`. */
  readonly registry: string
  readonly service: string
  readonly id: Option.Option<string>
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly weight: number
  readonly zone: Option.Option<string>
  readonly metadata?: Readonly<Record<string, string>>
  readonly tally: Option.Option<string>
  readonly untilStdinEnds: boolean
}

/** Longer than clients keep an idle connection, so that no request meets one that this server is closing. */
const keepAliveTimeout = 65_000

/** Runs one server until it is told to stop. */
export const run = Effect.fn("server")(function* (options: Options) {
  const { host, metadata, port, registry, service, weight } = options
  const suffix = (yield* Random.nextIntBetween(36 ** 3, 36 ** 4)).toString(36)
  const id = Option.getOrElse(options.id, () => `${service}-${suffix}`)
  const served = HttpRouter.serve(Shop.routes({ id, tallyFile: Option.getOrUndefined(options.tally) }), {
    disableLogger: true,
    disableListenLog: true
  })
  const listening = NodeHttpServer.layer(() => createServer({ keepAliveTimeout }), {
    host,
    port,
    gracefulShutdownTimeout: "2 seconds"
  })
  const diary = makeDiary()
  const announced = HttpServer.addressFormattedWith((address) =>
    Effect.andThen(
      Console.log(`${id} serves ${service} at ${address}, pid ${process.pid}, registry: ${registry}`),
      diary.open
    )
  )
  const zone = Option.getOrUndefined(options.zone)
  const registered = Registrar.serve(served, { service, id, weight, zone, metadata })
  const serving =
    registry === "none"
      ? Effect.andThen(
          possible({ service, id, host, port: 1, weight, ...(zone === undefined ? {} : { zone }) }),
          Effect.provide(Effect.andThen(announced, Effect.never), served)
        )
      : Effect.provide(
          Effect.andThen(taken, Effect.andThen(announced, Effect.never)),
          Layer.provide(registered, Backend.registry(registry))
        )
  const toldToStop = options.untilStdinEnds ? Stream.runDrain((yield* Stdio.Stdio).stdin) : Effect.never
  yield* serving.pipe(
    Effect.raceFirst(toldToStop),
    Effect.provide(listening),
    Effect.provide(Logger.layer([diary.logger])),
    Effect.provideService(References.MinimumLogLevel, "Info"),
    Effect.catchTag(["ServeError", "RegistrarError"], (error) =>
      Effect.fail(
        new Trouble({
          message: error._tag === "ServeError" ? `cannot listen on ${host}:${port}: ${why(error.cause)}` : error.message
        })
      )
    )
  )
})

const decode = Schema.decodeEffect(Endpoint.Endpoint)

/** Fails with what a registration would fail with, where there is none. */
const possible = (said: (typeof Endpoint.Endpoint)["Encoded"]) =>
  Effect.mapError(decode(said), ({ message }) => {
    const problem = message.replaceAll(/\s*\n\s*/g, " ")
    return new Trouble({ message: `${said.service} cannot be registered: ${problem}` })
  })

/** Completes with the registry's first answer, or with its first silence; fails when it says that it never will take us. */
const taken = Effect.gen(function* () {
  const { changes } = yield* Registrar.Registrar
  yield* changes.pipe(
    Stream.map((state) => (state._tag === "Granting" ? state.error : state._tag === "Idle" ? undefined : "taken")),
    Stream.takeUntil((answer) => answer !== undefined),
    Stream.runForEach((answer) =>
      answer === undefined || answer === "taken" || answer.isTransient
        ? Effect.void
        : Effect.fail(new Trouble({ message: answer.message }))
    )
  )
})

/** What Muster logs, one line each and by the clock on the wall; nothing is said before the server is worth announcing. */
const makeDiary = () => {
  const lines: Array<string> = []
  let isOpen = false
  const logger = Logger.make(({ date, message }) => {
    const text = `${date.toLocaleTimeString("en-GB")}  ${Array.isArray(message) ? message.join(" ") : String(message)}`
    if (isOpen) process.stdout.write(`${text}\n`)
    else lines.push(text)
  })
  const open = Effect.suspend(() => {
    isOpen = true
    return Effect.forEach(lines, (line) => Console.log(line), { discard: true })
  })
  return { logger, open }
}

const why = (cause: unknown): string => {
  if (!Predicate.isError(cause)) return String(cause)
  return "code" in cause && cause.code === "EADDRINUSE" ? "the port is taken" : cause.message
}
