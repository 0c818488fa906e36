import { assert, describe, it } from "@effect/vitest"
import {
  Context,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Metric,
  References,
  Schedule,
  Schema,
  Scope
} from "effect"
import { TestClock } from "effect/testing"
import { KeyValueStore } from "effect/persistence"
import { DiscoveryState, type Endpoint, Policy, Remembered, Snapshot } from "@muster/core"
import { Balancer, BalancerError, ConnectProbe, Discovery } from "@muster/runtime"
import { endpoint, make, service, settle } from "./fixtures/ScriptedResolver.ts"

const limited = Schedule.max([Schedule.spaced("100 millis"), Schedule.recurs(1)])

const registry = "scripted:"
const key = Remembered.key(registry, service)
const abc = [endpoint("a", { port: 1 }), endpoint("b", { port: 2 }), endpoint("c", { port: 3 })]

/** A store whose reads and writes are counted, and may be made to fail or to hang. */
const memory = (texts = new Map<string, string>()) => {
  const written: Array<Remembered.Remembered> = []
  const store = {
    texts,
    written,
    reads: 0,
    around: <A>(effect: Effect.Effect<A>) => effect as Effect.Effect<A, unknown>
  }
  const layer = Layer.succeed(Discovery.Memory, {
    get: (asked) =>
      Effect.suspend(() => {
        store.reads++
        return store.around(Effect.sync(() => texts.get(asked)))
      }),
    set: (asked, text) =>
      Effect.suspend(() =>
        store.around(
          Effect.sync(() => {
            written.push(Schema.decodeSync(Schema.fromJsonString(Remembered.Remembered))(text))
            texts.set(asked, text)
          })
        )
      )
  })
  return { ...store, store, layer }
}

/** What an earlier run kept so long ago. */
const keptAgo = (age: Duration.Input, endpoints: ReadonlyArray<Endpoint.Endpoint> = abc) =>
  Effect.gen(function* () {
    // The clock of a test starts at the epoch, and nothing is kept before that.
    yield* TestClock.adjust(age)
    return new Map([
      [key, Remembered.toText({ format: "muster-snapshot", version: 1, registry, service, savedAt: 0, endpoints })]
    ])
  })

/** Nobody is at the addresses of these tests, which is no reason to drop an instance that is held. */
const silent = Layer.succeed(ConnectProbe.ConnectProbe, () => Effect.succeed("unknown" as const))

interface Run {
  readonly script: ReturnType<typeof make>
  readonly orders: Discovery.Subscription
  readonly balancer: Balancer.Balancer["Service"]
  readonly lines: ReadonlyArray<string>
  readonly events: ReadonlyArray<DiscoveryState.Event>
  /** Ends the run as a process does that is told to stop. */
  readonly end: Effect.Effect<void>
}

/** One run of a client over what is kept. */
const run = Effect.fnUntraced(
  function* (
    memory: Layer.Layer<never>,
    policies: Layer.Layer<never> = Layer.empty
  ): Effect.fn.Return<Run, never, Scope.Scope> {
    const script = make()
    const lines: Array<string> = []
    const events: Array<DiscoveryState.Event> = []
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const layer = Balancer.layer.pipe(
      Layer.provideMerge(Discovery.layer),
      Layer.provide([script.layer, memory, policies, silent]),
      Layer.provide(Layer.succeed(Discovery.Recorder, (_, event) => events.push(event))),
      Layer.provideMerge(Logger.layer([Logger.make(({ message }) => lines.push(String(message)))]))
    )
    const context = yield* Layer.buildWithScope(layer, scope)
    const orders = yield* Context.get(context, Discovery.Discovery).subscribe(service).pipe(Scope.provide(scope))
    yield* settle
    return {
      script,
      orders,
      balancer: Context.get(context, Balancer.Balancer),
      lines,
      events,
      end: Effect.andThen(Scope.close(scope, Exit.void), settle)
    }
  },
  Effect.provideService(References.MinimumLogLevel, "Warn")
)

const ids = (all: ReadonlyArray<Endpoint.Endpoint>) => all.map(({ id }) => id as string).toSorted()

const pickable = ({ current }: Discovery.Subscription) => {
  const state = current()
  return DiscoveryState.isKnown(state) ? ids(Snapshot.endpoints(state.snapshot)) : []
}
const tag = ({ current }: Discovery.Subscription) => current()._tag

const port = (endpoint: Endpoint.Endpoint) => Effect.succeed(endpoint.port)

const gauge = (name: string) =>
  Effect.map(Metric.snapshot, (all) => {
    const found = all.find(({ attributes, id }) => id === name && attributes?.["service"] === service)
    return found !== undefined && "value" in found.state ? found.state.value : undefined
  })

describe("remembering", () => {
  it.effect("says in the singular that one endpoint is remembered", () =>
    Effect.gen(function* () {
      const { layer } = memory(yield* keptAgo("5 minutes", [endpoint("a")]))
      const { lines, script } = yield* run(layer)
      yield* script.fail("connection refused")
      assert.match(lines[0] ?? "", /: serves 1 endpoint remembered 5m ago$/)
    })
  )

  it.effect(
    "F-c2: started while the registry is down it serves from the remembered snapshot, marked with its age",
    () =>
      Effect.gen(function* () {
        const { layer } = memory(yield* keptAgo("5 minutes"))
        const { balancer, lines, orders, script } = yield* run(layer)
        yield* script.fail("connection refused")
        assert.deepStrictEqual([tag(orders), pickable(orders)], ["Frozen", ["a", "b", "c"]])
        assert.deepStrictEqual(yield* orders.age, Duration.minutes(5))
        assert.include([1, 2, 3], yield* balancer.use(service, port))
        yield* settle
        assert.deepStrictEqual(lines, [
          "the registry does not answer (scripted:: orders: connection refused): serves 3 endpoints remembered 5m ago"
        ])
        assert.deepStrictEqual([yield* gauge("muster_remembered"), yield* gauge("muster_frozen")], [1, 1])
        for (let n = 0; n < 30; n++) {
          yield* TestClock.adjust("2400 millis")
          yield* script.fail("connection refused")
        }
        assert.strictEqual(tag(orders), "Frozen")
        assert.deepStrictEqual(yield* orders.age, Duration.seconds(372))
        assert.strictEqual(yield* gauge("muster_snapshot_age_seconds"), 372)
      }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("F-c2: the registry is believed as soon as it answers, without doubt about who is gone", () =>
    Effect.gen(function* () {
      const { layer } = memory(yield* keptAgo("5 minutes"))
      const { orders, script } = yield* run(layer)
      yield* script.fail()
      yield* TestClock.adjust("120 millis")
      assert.isUndefined(script.opened.at(-1)?.from)
      yield* script.reset(endpoint("d", { port: 4 }))
      assert.deepStrictEqual([tag(orders), pickable(orders)], ["Live", ["d"]])
      assert.deepStrictEqual(yield* orders.age, Duration.zero)
      assert.strictEqual(yield* gauge("muster_remembered"), 0)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect(
    "F-c2: a request of a client that starts before a registry that does not answer waits 250 ms, no longer",
    () =>
      Effect.gen(function* () {
        const { layer, store } = memory(yield* keptAgo("5 minutes"))
        const { balancer, orders } = yield* run(layer)
        const request = yield* Effect.forkChild(balancer.use(service, port))
        yield* TestClock.adjust("249 millis")
        assert.deepStrictEqual([tag(orders), store.reads], ["Loading", 0])
        yield* TestClock.adjust("1 millis")
        yield* settle
        assert.include([1, 2, 3], yield* Fiber.join(request))
        assert.strictEqual(tag(orders), "Frozen")
      })
  )

  it.effect(
    "F-c2: an answer that comes after 250 ms replaces the remembered snapshot, and is followed from then on",
    () =>
      Effect.gen(function* () {
        const { layer } = memory(yield* keptAgo("5 minutes"))
        const { orders, script } = yield* run(layer)
        yield* TestClock.adjust("250 millis")
        assert.deepStrictEqual([tag(orders), pickable(orders)], ["Frozen", ["a", "b", "c"]])
        yield* script.reset(endpoint("d", { port: 4 }))
        assert.strictEqual(script.opened.length, 1)
        assert.deepStrictEqual([tag(orders), pickable(orders)], ["Live", ["d"]])
        yield* script.put(endpoint("e", { port: 5 }))
        assert.deepStrictEqual(pickable(orders), ["d", "e"])
      })
  )

  it.effect("F-c2: a store that answers during the second attempt does not make that attempt go unheard", () =>
    Effect.gen(function* () {
      const { layer, store } = memory(yield* keptAgo("5 minutes"))
      store.around = Effect.delay("500 millis")
      const { orders, script } = yield* run(layer)
      yield* script.fail()
      yield* TestClock.adjust("500 millis")
      store.around = (effect) => effect
      assert.deepStrictEqual([tag(orders), pickable(orders)], ["Frozen", ["a", "b", "c"]])
      assert.strictEqual(script.opened.length, 2)
      yield* script.reset(endpoint("d", { port: 4 }))
      assert.deepStrictEqual([tag(orders), pickable(orders)], ["Live", ["d"]])
    })
  )

  it.effect("F-c2: with nothing remembered it fails typed, within its deadline", () =>
    Effect.gen(function* () {
      const { balancer, script } = yield* run(memory().layer)
      const request = yield* Effect.forkChild(Effect.flip(balancer.use(service, port)))
      yield* settle
      yield* script.fail("connection refused")
      yield* TestClock.adjust("1 seconds")
      const error = yield* Fiber.join(request)
      assert.instanceOf(error, BalancerError.BalancerError)
      assert.strictEqual(error.reason._tag, "NotLoaded")
    })
  )

  it.effect(
    "F-c2: subscribed again after idling, while the registry is down, it serves what it knew, with its age",
    () =>
      Effect.gen(function* () {
        const { layer, store } = memory()
        const scope = yield* Scope.make()
        const script = make()
        const { subscribe } = Context.get(
          yield* Layer.build(Layer.provide(Discovery.layer, [script.layer, layer])),
          Discovery.Discovery
        )
        const before = yield* Scope.provide(subscribe(service), scope)
        yield* settle
        yield* script.reset(...abc)
        yield* Scope.close(scope, Exit.void)
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(script.active.size, 0)
        assert.strictEqual(tag(before), "Frozen")
        const again = yield* subscribe(service)
        yield* settle
        yield* script.fail()
        assert.deepStrictEqual([tag(again), pickable(again)], ["Frozen", ["a", "b", "c"]])
        assert.deepStrictEqual(yield* again.age, Duration.minutes(9))
        assert.strictEqual(store.reads, 0)
      })
  )

  it.effect("a registry that answers in time is the only one that is asked", () =>
    Effect.gen(function* () {
      const { layer, store } = memory(yield* keptAgo("5 minutes"))
      const { events, orders, script } = yield* run(layer)
      yield* TestClock.adjust("200 millis")
      yield* script.reset(...abc.slice(2))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual([tag(orders), pickable(orders), store.reads], ["Live", ["c"], 0])
      assert.isFalse(events.some(({ _tag }) => _tag === "Remembered"))
    })
  )

  it.effect("what was seen last is kept at the end, and is what the next run begins with", () =>
    Effect.gen(function* () {
      const { layer, store } = memory()
      const first = yield* run(layer)
      yield* first.script.reset(...abc)
      yield* TestClock.adjust("1 seconds")
      yield* first.script.put(endpoint("d", { port: 4 }))
      yield* first.script.remove("a")
      yield* TestClock.adjust("1 seconds")
      yield* first.end
      assert.deepStrictEqual(
        store.written.map(({ endpoints, savedAt }) => [savedAt, ids(endpoints)]),
        [
          [0, ["a", "b", "c"]],
          [2000, ["b", "c", "d"]]
        ]
      )
      yield* TestClock.adjust("1 minutes")
      const second = yield* run(layer)
      yield* second.script.fail()
      assert.deepStrictEqual(pickable(second.orders), ["b", "c", "d"])
      assert.deepStrictEqual(yield* second.orders.age, Duration.minutes(1))
      yield* second.end
      assert.strictEqual(store.written.length, 2, "what was only remembered is not made younger")
    })
  )

  it.effect("a list that changes all the time is written every 5 s, and one that does not every minute", () =>
    Effect.gen(function* () {
      const { layer, store } = memory()
      // A full read that the script does not answer would end the following.
      const hour = Duration.hours(1)
      const { script } = yield* run(layer, Layer.succeed(Policy.FullRead, { after: [hour, hour], early: [hour, hour] }))
      yield* script.reset(...abc)
      for (let n = 0; n < 600; n++) {
        yield* script.put(endpoint("d", { port: 1000 + n }))
        yield* TestClock.adjust("100 millis")
      }
      assert.isAtLeast(store.written.length, 12)
      assert.isAtMost(store.written.length, 13)
      yield* TestClock.adjust("5 seconds")
      const last = store.written.at(-1)
      assert.strictEqual(last?.endpoints.find(({ id }) => id === "d")?.port, 1599)
      const before = store.written.length
      yield* TestClock.adjust("66 seconds")
      yield* TestClock.adjust("66 seconds")
      assert.strictEqual(store.written.length, before + 2)
    })
  )

  it.effect("while the registry is down nothing is written, and at the end the time of the loss is", () =>
    Effect.gen(function* () {
      const { layer, store } = memory()
      const { end, script } = yield* run(layer)
      yield* script.reset(...abc)
      yield* TestClock.adjust("30 seconds")
      yield* script.fail()
      const before = store.written.length
      for (let n = 0; n < 100; n++) {
        yield* TestClock.adjust("3 seconds")
        yield* script.fail()
      }
      assert.strictEqual(store.written.length, before)
      yield* end
      assert.strictEqual(store.written.at(-1)?.savedAt, 30_000)
    })
  )

  it.effect("who vanished in doubt is remembered, and who said good-bye is not", () =>
    Effect.gen(function* () {
      const { layer, store } = memory()
      const { end, script } = yield* run(layer)
      yield* script.reset(...abc, endpoint("d", { port: 4 }), endpoint("e", { port: 5, draining: true }))
      yield* script.remove("a", "b", "c", "d")
      yield* end
      assert.deepStrictEqual(ids(store.written.at(-1)?.endpoints ?? []), ["a", "b", "c", "d"])
    })
  )

  for (const [what, text] of [
    ["was cut short", (text: string) => text.slice(0, text.length - 10)],
    ["is empty", () => ""],
    ["is foreign", () => "<html></html>"],
    ["is of a later version", (text: string) => text.replace(`"version":1`, `"version":2`)],
    ["is of another registry", (text: string) => text.replace(registry, "memory:")]
  ] as const) {
    it.effect(`a text that ${what} is ignored with one line, and the registry is followed all the same`, () =>
      Effect.gen(function* () {
        const texts = yield* keptAgo("5 minutes")
        texts.set(key, text(texts.get(key) ?? ""))
        const { lines, orders, script } = yield* run(memory(texts).layer)
        for (let n = 0; n < 5; n++) {
          yield* script.fail()
          assert.strictEqual(tag(orders), "Loading")
          yield* TestClock.adjust("2400 millis")
        }
        const [ignored, ...others] = lines
        assert.match(ignored ?? "", /^the remembered snapshot is not used: /)
        assert.deepStrictEqual(others, [
          "cannot follow the registry and keeps trying: scripted:: orders: connection refused"
        ])
        yield* script.reset(...abc)
        assert.strictEqual(tag(orders), "Live")
      })
    )
  }

  it.effect("a snapshot that is too old is not used", () =>
    Effect.gen(function* () {
      const { lines, orders, script } = yield* run(memory(yield* keptAgo("25 hours")).layer)
      yield* script.fail()
      assert.strictEqual(tag(orders), "Loading")
      assert.deepStrictEqual(lines, ["the remembered snapshot is not used: it is 1d 1h old, which is too old"])
    })
  )

  it.effect("a service that had nobody is not remembered as one that has nobody", () =>
    Effect.gen(function* () {
      const { lines, orders, script } = yield* run(memory(yield* keptAgo("5 minutes", [])).layer)
      yield* script.fail()
      assert.strictEqual(tag(orders), "Loading")
      assert.deepStrictEqual(lines, [])
    })
  )

  for (const [how, around] of [
    ["fails", () => Effect.fail("disk full")],
    ["dies", () => Effect.die("disk full")],
    ["hangs", () => Effect.never]
  ] as const) {
    it.effect(`a store that ${how} is reported once, delays nothing and ends in time`, () =>
      Effect.gen(function* () {
        const { layer, store } = memory()
        store.around = around
        const { end, events, lines, orders, script } = yield* run(layer)
        for (let n = 0; n < 100; n++) {
          yield* script.reset(...abc, endpoint("d", { port: 4 + n }))
          assert.deepStrictEqual([tag(orders), pickable(orders)], ["Live", ["a", "b", "c", "d"]])
          yield* TestClock.adjust("7 seconds")
        }
        assert.strictEqual(lines.length, 1)
        assert.match(lines[0] ?? "", /^the snapshot is not kept for the next run: /)
        assert.isFalse(events.some((event) => event._tag === "Disconnected"))
        const ending = yield* Effect.forkChild(end)
        yield* TestClock.adjust("1 seconds")
        yield* Fiber.join(ending)
      })
    )
  }

  it.effect("any KeyValueStore will do, and each registry and service has its own entry", () =>
    Effect.gen(function* () {
      const store = yield* KeyValueStore.KeyValueStore
      const { end, script } = yield* run(Layer.succeed(Discovery.Memory, store))
      yield* script.reset(...abc)
      yield* end
      assert.strictEqual(yield* store.size, 1)
      assert.isTrue(yield* store.has(key))
      assert.isFalse(yield* store.has(Remembered.key("memory:", service)))
    }).pipe(Effect.provide(KeyValueStore.layerMemory))
  )

  it.effect("a freeze policy that ends fails the service as before, however much is remembered", () =>
    Effect.gen(function* () {
      const { layer } = memory(yield* keptAgo("5 minutes"))
      const { orders, script } = yield* run(layer, Layer.succeed(Policy.Rewatch, limited))
      yield* script.fail()
      assert.strictEqual(tag(orders), "Frozen")
      yield* TestClock.adjust("100 millis")
      yield* script.fail()
      assert.strictEqual(tag(orders), "Failed")
    })
  )

  it.effect("a recorded log with a remembered snapshot gives every state again", () =>
    Effect.gen(function* () {
      const { layer } = memory(yield* keptAgo("5 minutes"))
      const { events, orders, script } = yield* run(layer)
      yield* script.fail()
      yield* TestClock.adjust("1 seconds")
      const replayed = yield* Effect.forEach(events, (event) =>
        Effect.flatMap(Schema.encodeEffect(DiscoveryState.Event)(event), Schema.decodeEffect(DiscoveryState.Event))
      )
      const state = replayed.reduce(DiscoveryState.step(Policy.MassRemoval.defaultValue()), DiscoveryState.initial)
      assert.deepStrictEqual(JSON.stringify(state), JSON.stringify(orders.current()))
    })
  )
})
