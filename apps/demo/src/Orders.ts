/**
 * The contract of the orders service, which servers implement and clients call by its types alone.
 *
 * `place` is the one call that must not run twice: it carries an order id, and every server keeps a tally of the
 * executions by order id. Quotes and amendments may be repeated. `conduct` is how the story makes one server behave
 * badly; it is asked of one address, never through the balancer.
 */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"

const OrderId = Schema.NonEmptyString
const Item = Schema.NonEmptyString
const Quantity = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 }))

/** What the answer to an order says: the order, and the instance that executed it. */
const Receipt = Schema.Struct({ order: OrderId, servedBy: Schema.String })

const Quote = Schema.Struct({ item: Item, cents: Schema.Int, servedBy: Schema.String })

/** How a server behaves. */
export const Conduct = Schema.Struct({
  /** Multiplies the time that every answer takes. */
  slowness: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)),
  /** Answers 503 after a millisecond. */
  failing: Schema.Boolean,
  /** Executes every order a second time: a lie that the evidence of the story must find. */
  repeating: Schema.Boolean
})

export type Conduct = typeof Conduct.Type

export const good: Conduct = { slowness: 1, failing: false, repeating: false }

export class Unwell extends Schema.TaggedError<Unwell>()(
  "Unwell",
  { servedBy: Schema.String },
  { httpApiStatus: 503 }
) {}

class Trade extends HttpApiGroup.make("trade").add(
  HttpApiEndpoint.post("place", "/orders", {
    payload: Schema.Struct({ id: OrderId, item: Item, quantity: Quantity }),
    success: Receipt,
    error: Unwell
  }),
  HttpApiEndpoint.put("amend", "/orders/:id", {
    params: { id: OrderId },
    payload: Schema.Struct({ quantity: Quantity }),
    success: Receipt,
    error: Unwell
  }),
  HttpApiEndpoint.get("quote", "/quotes/:item", { params: { item: Item }, success: Quote, error: Unwell }),
  HttpApiEndpoint.get("tally", "/tally", { success: Schema.Record(OrderId, Schema.Int) })
) {}

class Backstage extends HttpApiGroup.make("backstage").add(
  HttpApiEndpoint.put("conduct", "/conduct", { payload: Conduct, success: HttpApiSchema.NoContent })
) {}

export class Orders extends HttpApi.make("orders").add(Trade).add(Backstage) {}
