/**
 * etcd3's typed stubs and nothing around them: what the driver that Muster uses costs by itself.
 */
import { Effect, type Scope } from "effect"
import { Etcd3, type IWatchCreateRequest, type IWatchResponse } from "etcd3"

/** A client that is closed with the scope. */
export const connect = (host: string): Effect.Effect<Etcd3, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new Etcd3({ hosts: [host] })),
    (client) => Effect.sync(() => client.close())
  )

/** Opens watches on one stream; completes when etcd has answered all of them. */
export const watch = (
  client: Etcd3,
  requests: ReadonlyArray<IWatchCreateRequest>,
  onEvents: (events: IWatchResponse["events"]) => void
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const stream = yield* Effect.acquireRelease(
      Effect.promise(() => client.watchClient.watch()),
      (stream) => Effect.sync(() => stream.cancel())
    )
    yield* Effect.callback<void>((resume) => {
      let created = 0
      stream.on("data", (response) => {
        if (response.created && ++created === requests.length) resume(Effect.void)
        if (response.events.length > 0) onEvents(response.events)
      })
      for (const create_request of requests) stream.write({ create_request })
    })
  })
