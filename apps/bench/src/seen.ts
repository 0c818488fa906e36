/**
 * How long it takes from what one process does until another one sees it.
 */
import { DiscoveryState } from "@muster/core"
import { InstanceId, ServiceName } from "@muster/core/Endpoint"
import { Discovery } from "@muster/runtime"
import { Effect, HashMap, Stream } from "effect"
import * as Child from "./Child.ts"

/** Completes with the time at which something was seen; it is awaited before that is done. */
export type Seen = Effect.Effect<bigint>

/** From the moment at which the writer began until it was seen here, in milliseconds. */
export const timed = Effect.fnUntraced(function* (writer: Child.Child, command: string, seen: Seen) {
  yield* Effect.sleep("20 millis")
  const [begun, end] = yield* Effect.all([Effect.andThen(writer.tell(command), writer.hear), seen], {
    concurrency: 2
  })
  return Number(end - BigInt(begun)) / 1e6
})

/** The moment from which on an instance of `orders` is in the snapshot that a balancer picks from. */
export const pickable = Effect.gen(function* () {
  const discovery = yield* Discovery.Discovery
  const { changes } = yield* discovery.subscribe(ServiceName.make("orders"))
  return (id: string): Seen =>
    changes.pipe(
      Stream.takeUntil(
        (state) => DiscoveryState.isKnown(state) && HashMap.has(state.snapshot.endpoints, InstanceId.make(id))
      ),
      Stream.runDrain,
      Effect.map(Child.now)
    )
})
