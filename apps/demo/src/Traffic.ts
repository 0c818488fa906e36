/**
 * A steady stream of requests that does not wait for answers (open loop): each is due at its own moment, and its
 * latency counts from then, so a stall of anybody shows in the figures instead of thinning them out.
 *
 * A fifth of the requests place an order and must not run twice; the others may be repeated.
 */
import { Cause, Clock, Context, Effect, Exit, FiberSet, Layer, Predicate, Random } from "effect"
import { HttpClient } from "effect/http"
import { HttpApiClient } from "effect/http-api"
import { Orders } from "./Orders.ts"

type Kind = "place" | "amend" | "quote"

const kinds: ReadonlyArray<Kind> = ["place", "quote", "amend", "quote", "quote"]

/** One request and where it went. */
export interface Errand {
  readonly sequence: number
  readonly kind: Kind
  /** The id of the order that it is about. */
  readonly order: string
  /** When it should be sent: milliseconds on the monotonic clock. */
  readonly dueAt: number
  /** The addresses that were tried, in order. */
  readonly addresses: Array<string>
}

/** Hears of every request, synchronously. */
export interface Listener {
  readonly due: (errand: Errand) => void
  readonly sent: (errand: Errand, address: string) => void
  /** `problem` says why there is no answer. */
  readonly done: (errand: Errand, latencyMs: number, problem: string | undefined) => void
}

const CurrentErrand = Context.Reference<(address: string) => void>("@muster/demo/Traffic/CurrentErrand", {
  defaultValue: () => () => undefined
})

/** Milliseconds on the monotonic clock. */
const now = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

/** The client below the balancer, which notes where each attempt of a request goes. */
export const observed = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(
    HttpClient.HttpClient,
    HttpClient.transform((attempt, request) =>
      Effect.flatMap(CurrentErrand, (sentTo) => {
        sentTo(new URL(request.url).host)
        return attempt
      })
    )
  )
)

/** Sends `perSecond` requests a second to `service`, for ever. */
export const run = Effect.fn("Traffic.run")(function* (service: string, perSecond: number, listener: Listener) {
  const client = yield* HttpApiClient.make(Orders, { baseUrl: `http://${service}` })
  const customer = (yield* Random.nextIntBetween(36 ** 7, 36 ** 8)).toString(36)
  const errands = yield* FiberSet.make()

  const ask = ({ kind, order: id }: Errand) => {
    switch (kind) {
      case "place":
        return Effect.asVoid(client.trade.place({ payload: { id, item: "chair", quantity: 1 } }))
      case "amend":
        return Effect.asVoid(client.trade.amend({ params: { id }, payload: { quantity: 2 } }))
      case "quote":
        return Effect.asVoid(client.trade.quote({ params: { item: "chair" } }))
    }
  }

  const send = Effect.fnUntraced(function* (errand: Errand) {
    listener.due(errand)
    const exit = yield* ask(errand).pipe(
      Effect.provideService(CurrentErrand, (address) => {
        errand.addresses.push(address)
        listener.sent(errand, address)
      }),
      Effect.exit
    )
    if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return
    listener.done(errand, (yield* now) - errand.dueAt, Exit.isSuccess(exit) ? undefined : problem(exit.cause))
  })

  const startedAt = yield* now
  for (let sequence = 0; ; sequence++) {
    const dueAt = startedAt + (sequence * 1000) / perSecond
    const early = dueAt - (yield* now)
    if (early > 0) yield* Effect.sleep(early)
    const kind = kinds[sequence % kinds.length] ?? "quote"
    yield* FiberSet.run(errands, send({ sequence, kind, order: `${customer}-${sequence}`, dueAt, addresses: [] }))
  }
})

/** What an error says, and what it comes from where it keeps that to itself. */
const problem = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  if (!Predicate.isError(error)) return String(error)
  const said = error.message === "" ? error.name : error.message
  const root = innermost(error)
  return said.includes(root) ? said : `${said}: ${root}`
}

const innermost = ({ cause, message }: Error): string => (Predicate.isError(cause) ? innermost(cause) : message)
