/**
 * A serving layer whose server says with every answer how busy it is, in the header of `LoadReport`, and does not log
 * that the registrar asked for one.
 *
 * It is the HttpServer that the serving layer is built with that does so, whatever the routes are; one that brings its
 * own server with it is left as it is. A request is in flight until its answer has been sent, body included.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpEffect from "effect/http/HttpEffect"
import * as HttpServer from "effect/http/HttpServer"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as LoadReport from "@muster/core/LoadReport"
import * as Policy from "@muster/core/Policy"
import * as ServerLoad from "@muster/core/ServerLoad"
import { unlogged } from "./answers.ts"

export const serving = <A, E, R>(served: Layer.Layer<A, E, R>): Layer.Layer<A, E, R> =>
  Layer.fromBuild((memoMap, scope) =>
    Effect.updateContext(
      Layer.buildWithMemoMap(served, memoMap, scope),
      (context: Context.Context<R>): Context.Context<R> => {
        const server = Context.getOption(context, HttpServer.HttpServer)
        if (Option.isNone(server)) return context
        const wrap = Context.get(context, Policy.ReportLoad) ? reporting(ServerLoad.make()) : unlogged
        return Context.add(context, HttpServer.HttpServer, wrapped(server.value, wrap))
      }
    )
  )

type Server = HttpServer.HttpServer["Service"]
type App = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  unknown,
  HttpServerRequest.HttpServerRequest | Scope.Scope
>

const wrapped = (server: Server, wrap: (app: App) => App): Server =>
  HttpServer.make({
    address: server.address,
    serve: (app, middleware) =>
      middleware === undefined ? server.serve(wrap(app)) : server.serve(wrap(app), middleware)
  })

const reporting =
  (load: ServerLoad.ServerLoad) =>
  (app: App): App =>
    measured(load, unlogged(app))

/** Counts the request until its scope closes, and says at the last moment before the answer how things stand. */
const measured = (load: ServerLoad.ServerLoad, app: App): App =>
  Effect.withFiber((fiber) => {
    const clock = fiber.getRef(Clock.Clock)
    const startedAt = clock.monotonicTimeNanosUnsafe()
    const others = ServerLoad.start(load)
    HttpEffect.appendPreResponseHandlerUnsafe(fiber.context, (_request, response) => {
      ServerLoad.answered(load, others, Number(clock.monotonicTimeNanosUnsafe() - startedAt) / 1e6)
      const said = LoadReport.format(ServerLoad.report(load))
      return Effect.succeed(HttpServerResponse.setHeader(response, LoadReport.header, said))
    })
    const end = Effect.sync(() => ServerLoad.end(load))
    return Effect.andThen(
      Effect.addFinalizer(() => end),
      app
    )
  })
