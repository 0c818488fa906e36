/**
 * One server's side of the orders service: it works for some milliseconds, executes orders, and keeps the tally.
 *
 * Each execution is written to the tally file before it is answered, so that not even `kill -9` makes one forgotten.
 */
import { Context, Effect, FileSystem, Layer, Random, Ref } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { type Conduct, good, Orders, Unwell } from "./Orders.ts"
import { Trouble } from "./Trouble.ts"

/** How long an answer takes: between these many milliseconds, times the slowness. */
const workingTime = [8, 16] as const

export interface Options {
  /** The instance that its answers name. */
  readonly id: string
  /** Gets one line with the order id for each execution. */
  readonly tallyFile: string | undefined
}

class Shop extends Context.Service<
  Shop,
  {
    readonly id: string
    /** Lets a request in, unless the server is unwell. */
    readonly admit: Effect.Effect<void, Unwell>
    readonly work: Effect.Effect<void>
    readonly execute: (order: string) => Effect.Effect<void>
    readonly tally: Effect.Effect<Readonly<Record<string, number>>>
    readonly behave: (conduct: Conduct) => Effect.Effect<void>
  }
>()("@muster/demo/Shop") {}

const shop = ({ id, tallyFile }: Options) =>
  Layer.effect(
    Shop,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const conduct = yield* Ref.make(good)
      const tally = new Map<string, number>()

      const write = (line: string) =>
        tallyFile === undefined ? Effect.void : fs.writeFileString(tallyFile, line, { flag: "a" })
      yield* write("").pipe(
        Effect.mapError(() => new Trouble({ message: `the tally file ${tallyFile} cannot be written` }))
      )

      const admit = Effect.gen(function* () {
        if (!(yield* Ref.get(conduct)).failing) return
        yield* Effect.sleep("1 millis")
        return yield* new Unwell({ servedBy: id })
      })

      const work = Effect.gen(function* () {
        const { slowness } = yield* Ref.get(conduct)
        yield* Effect.sleep((yield* Random.nextBetween(...workingTime)) * slowness)
      })

      const once = (order: string) =>
        Effect.andThen(
          Effect.orDie(write(`${order}\n`)),
          Effect.sync(() => tally.set(order, (tally.get(order) ?? 0) + 1))
        )

      return Shop.of({
        id,
        admit,
        work,
        execute: Effect.fn("Shop.execute")(function* (order: string) {
          yield* once(order)
          if ((yield* Ref.get(conduct)).repeating) yield* once(order)
        }),
        tally: Effect.sync(() => Object.fromEntries(tally)),
        behave: (next) => Ref.set(conduct, next)
      })
    })
  )

const trade = HttpApiBuilder.group(
  Orders,
  "trade",
  Effect.fn(function* (handlers) {
    const { id: servedBy, admit, execute, work, tally } = yield* Shop
    return handlers.handleAll({
      // Executed first: an order that a killed server left unanswered counts, so a second execution elsewhere shows.
      place: Effect.fn(function* ({ payload: { id } }) {
        yield* admit
        yield* execute(id)
        yield* work
        return { order: id, servedBy }
      }),
      amend: ({ params }) => Effect.as(Effect.andThen(admit, work), { order: params.id, servedBy }),
      quote: ({ params: { item } }) =>
        Effect.as(Effect.andThen(admit, work), { item, cents: 100 * item.length, servedBy }),
      tally: () => tally
    })
  })
)

const backstage = HttpApiBuilder.group(
  Orders,
  "backstage",
  Effect.fn(function* (handlers) {
    const { behave } = yield* Shop
    return handlers.handleAll({ conduct: ({ payload }) => behave(payload) })
  })
)

/** The routes of one server. */
export const routes = (options: Options) =>
  HttpApiBuilder.layer(Orders).pipe(Layer.provide([trade, backstage]), Layer.provide(shop(options)))
