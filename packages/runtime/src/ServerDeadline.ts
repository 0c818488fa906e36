/**
 * The server's side of a deadline: a handler gets no more time than its caller has left, and neither does anything that
 * it asks for on the way.
 */
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Deadline from "./Deadline.ts"

/**
 * Bounds a handler by the `grpc-timeout` of its request: `Deadline.Due` is set for it, and when the time is over it is
 * interrupted and the answer is 504. A request without the header, or with one that cannot be read, takes its time. So
 * does one that asks for another protocol (`Upgrade`): its handler lives as long as the connection does. To HTTP/2 nobody
 * is upgraded, although some clients ask for it with each request.
 *
 * For all routes: `HttpRouter.middleware(ServerDeadline.bounded, { global: true })` beside them.
 *
 * @category middleware
 * @since 0.1.0
 */
export const bounded = <E, R>(
  app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest.HttpServerRequest> =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) => {
    const time = Deadline.fromHeader(headers[Deadline.header])
    if (time === undefined || (headers["upgrade"] ?? "h2c") !== "h2c") return app
    // A failure of the handler must not be taken for ours, not even one of its own deadlines.
    return Effect.flatten(Effect.catchTag(Deadline.within(time)(Effect.exit(app)), "TimeoutError", () => late))
  })

const late = Effect.succeed(Effect.succeed(HttpServerResponse.empty({ status: 504 })))
