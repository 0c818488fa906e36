import { assert, describe, it } from "@effect/vitest"
import {
  Duration,
  Clock,
  Context,
  Effect,
  Fiber,
  HashMap,
  Layer,
  Logger,
  Metric,
  Schedule,
  Schema,
  Scope,
  Stream,
  Exit
} from "effect"
import { TestClock } from "effect/testing"
import { Change, DiscoveryState, Endpoint, Policy, RegistryError, Resolver } from "@muster/core"
import { ConnectProbe, Discovery } from "@muster/runtime"
import { wallClockOffBy } from "../../backends/test/fixtures/wallClock.ts"
import { endpoint, make, service, settle } from "./fixtures/ScriptedResolver.ts"

type Script = ReturnType<typeof make>

/** Runs a scenario against a scripted registry, with one subscription that lives as long as the scenario. */
const scenario = <E>(
  run: (
    script: Script,
    subscription: Discovery.Subscription,
    log: Log
  ) => Effect.Effect<void, E, Scope.Scope | Discovery.Discovery>,
  policies: Layer.Layer<never> = Layer.empty
) => {
  const script = make()
  const log: Log = { events: [], lines: [], probed: [] }
  const layer = Discovery.layer.pipe(
    Layer.provide([
      script.layer,
      policies,
      Layer.succeed(Discovery.Recorder, (_, event) => log.events.push(event)),
      Layer.succeed(ConnectProbe.ConnectProbe, (probed) =>
        Effect.sync(() => {
          log.probed.push(probed.id)
          return probed.metadata["alive"] === "no" ? ("refused" as const) : ("unknown" as const)
        })
      )
    ]),
    Layer.provideMerge(
      Logger.layer([Logger.make(({ logLevel, message }) => log.lines.push(`${logLevel} ${String(message)}`))])
    )
  )
  return Effect.gen(function* () {
    const discovery = yield* Discovery.Discovery
    const subscription = yield* discovery.subscribe(service)
    yield* settle
    yield* run(script, subscription, log)
  }).pipe(Effect.provide(layer))
}

interface Log {
  readonly events: Array<DiscoveryState.Event>
  readonly lines: Array<string>
  readonly probed: Array<string>
}

const pickable = ({ current }: Discovery.Subscription) => {
  const state = current()
  return DiscoveryState.isKnown(state) ? [...HashMap.keys(state.snapshot.endpoints)].toSorted() : []
}
const heldOf = ({ current }: Discovery.Subscription) => {
  const state = current()
  return DiscoveryState.isKnown(state) ? [...HashMap.keys(state.held)].toSorted() : []
}
const tag = ({ current }: Discovery.Subscription) => current()._tag

const abc = [endpoint("a", { port: 1 }), endpoint("b", { port: 2 }), endpoint("c", { port: 3 })]

/** Subscribes to `users` until they are listed, and lets the subscription idle. */
const briefly = (script: Script, users: Endpoint.ServiceName, ...endpoints: ReadonlyArray<Endpoint.Endpoint>) =>
  Effect.gen(function* () {
    const discovery = yield* Discovery.Discovery
    const view = yield* discovery.subscribe(users)
    yield* settle
    yield* script.reset(...endpoints)
    assert.strictEqual(tag(view), "Live")
  }).pipe(Effect.scoped)

/** On the next attempt, whenever within the longest pause that is. */
const later = (answer: Effect.Effect<void>) => Effect.andThen(TestClock.adjust("6 seconds"), answer)

/** What metrics tell of a service: the value of each, by name. */
const told = (service: string) =>
  Effect.map(Metric.snapshot, (all) => {
    const of = all.filter(({ attributes }) => attributes?.["service"] === service)
    return Object.fromEntries(of.map(({ id, state }) => [id, "value" in state ? state.value : undefined]))
  })

describe("Discovery", () => {
  it.effect("takes the inventory, then follows every change", () =>
    scenario((script, orders) =>
      Effect.gen(function* () {
        assert.strictEqual(tag(orders), "Loading")
        yield* script.reset(...abc)
        assert.deepStrictEqual([tag(orders), pickable(orders)], ["Live", ["a", "b", "c"]])
        yield* script.put(endpoint("d", { port: 4 }))
        yield* script.remove("a")
        assert.deepStrictEqual(pickable(orders), ["b", "c", "d"])
      })
    )
  )

  it.effect(
    "F-local-a: keeps serving the last snapshot while the registry is down, tells its age, and resumes by cursor",
    () =>
      scenario((script, orders) =>
        Effect.gen(function* () {
          yield* script.reset(...abc)
          assert.deepStrictEqual(yield* orders.age, Duration.zero)
          yield* script.fail()
          assert.deepStrictEqual([tag(orders), pickable(orders)], ["Frozen", ["a", "b", "c"]])
          for (let attempt = 0; attempt < 50; attempt++) {
            yield* TestClock.adjust("6 seconds")
            assert.strictEqual(tag(orders), "Resyncing")
            yield* script.fail()
            assert.deepStrictEqual([tag(orders), pickable(orders)], ["Frozen", ["a", "b", "c"]])
          }
          assert.deepStrictEqual(yield* orders.age, Duration.minutes(5))
          yield* TestClock.adjust("6 seconds")
          assert.strictEqual(script.opened.at(-1)?.from, "1")
          yield* script.resume
          assert.deepStrictEqual([tag(orders), pickable(orders)], ["Live", ["a", "b", "c"]])
          assert.deepStrictEqual(yield* orders.age, Duration.zero)
        })
      )
  )

  it.effect("F-local-a: tries again at once after an attempt that waited, and pauses after one that did not", () =>
    scenario((script, orders) =>
      Effect.gen(function* () {
        yield* script.reset(...abc)
        yield* script.fail()
        for (let attempt = 0; attempt < 10; attempt++) {
          yield* TestClock.adjust("3 seconds")
          assert.strictEqual(tag(orders), "Resyncing")
          yield* script.fail()
        }
        assert.strictEqual(tag(orders), "Frozen")
        yield* TestClock.adjust("125 millis")
        assert.strictEqual(tag(orders), "Resyncing")
        yield* script.fail()
        yield* TestClock.adjust("1450 millis")
        assert.strictEqual(tag(orders), "Frozen")
        yield* TestClock.adjust("1 seconds")
        assert.strictEqual(tag(orders), "Resyncing")
      })
    )
  )

  it.effect("treats the end of a stream as a loss", () =>
    scenario((script, orders) =>
      Effect.gen(function* () {
        yield* script.reset(...abc)
        yield* script.end
        assert.strictEqual(tag(orders), "Frozen")
        assert.deepStrictEqual(pickable(orders), ["a", "b", "c"])
      })
    )
  )

  it.effect("F-local-a2: a watch that never begins is given up at its deadline and tried again", () =>
    scenario((script, orders) =>
      Effect.gen(function* () {
        yield* TestClock.adjust("10 seconds")
        const state = orders.current()
        assert.isTrue(state._tag === "Loading" && state.cause?._tag === "Failed")
        yield* TestClock.adjust("1 seconds")
        assert.strictEqual(script.opened.length, 2)
        assert.strictEqual(script.active.size, 1)
        yield* script.reset(...abc)
        yield* TestClock.adjust("1 minutes")
        assert.deepStrictEqual([tag(orders), script.opened.length], ["Live", 2])
      })
    )
  )

  it.effect("waits longer from attempt to attempt, though the registry lists and then cuts each time", () =>
    scenario((script) =>
      Effect.gen(function* () {
        for (let i = 0; i < 300; i++) {
          yield* TestClock.adjust("100 millis")
          if (script.active.size > 0) yield* Effect.andThen(script.reset(...abc), script.fail())
        }
        assert.isBelow(script.opened.length, 25)
      })
    )
  )

  it.effect("starts over with short pauses once a watch lived for 10 s", () =>
    scenario((script) =>
      Effect.gen(function* () {
        for (let i = 0; i < 6; i++) {
          yield* script.fail()
          yield* TestClock.adjust("6 seconds")
        }
        yield* script.reset(...abc)
        yield* TestClock.adjust("10 seconds")
        const before = script.opened.length
        yield* script.fail()
        yield* TestClock.adjust("121 millis")
        assert.strictEqual(script.opened.length, before + 1)
      })
    )
  )

  it.effect("a bounded freeze policy ends in the typed failure, and a retry starts over", () =>
    scenario(
      (script, orders) =>
        Effect.gen(function* () {
          yield* script.reset(...abc)
          for (let i = 0; i < 3; i++) {
            yield* script.fail("gone")
            assert.deepStrictEqual([tag(orders), pickable(orders)], ["Frozen", ["a", "b", "c"]])
            yield* TestClock.adjust("1 seconds")
          }
          yield* script.fail("gone")
          const failed = orders.current()
          assert.isTrue(
            failed._tag === "Failed" && failed.cause?._tag === "Failed" && failed.cause.error.reason.message === "gone"
          )
          assert.isUndefined(yield* orders.age)
          yield* TestClock.adjust("1 hours")
          assert.strictEqual(tag(orders), "Failed")
          yield* orders.retry
          yield* settle
          assert.strictEqual(tag(orders), "Loading")
          assert.isUndefined(script.opened.at(-1)?.from)
          yield* script.reset(...abc)
          assert.strictEqual(tag(orders), "Live")
        }),
      Layer.succeed(Policy.Rewatch, Schedule.max([Schedule.spaced("1 seconds"), Schedule.recurs(3)]))
    )
  )

  it.effect("where a freeze policy has ended, the gauges tell of nobody and of no age until the registry answers", () =>
    scenario(
      (script, orders) =>
        Effect.gen(function* () {
          yield* script.reset(...abc)
          yield* script.reset()
          yield* script.fail()
          const frozen = {
            muster_endpoints: 3,
            muster_held_endpoints: 3,
            muster_frozen: 1,
            muster_remembered: 0,
            muster_snapshot_age_seconds: 0
          }
          assert.deepStrictEqual(yield* told(service), frozen)
          yield* TestClock.adjust("1 seconds")
          assert.deepStrictEqual(yield* told(service), { ...frozen, muster_snapshot_age_seconds: 1 })
          yield* script.fail()
          assert.strictEqual(tag(orders), "Failed")
          const nobody = { muster_endpoints: 0, muster_held_endpoints: 0, muster_frozen: 0, muster_remembered: 0 }
          assert.deepStrictEqual(yield* told(service), nobody)
          yield* Effect.andThen(orders.retry, settle)
          assert.strictEqual(tag(orders), "Loading")
          assert.deepStrictEqual(yield* told(service), nobody)
          yield* script.reset(...abc)
          assert.deepStrictEqual(yield* told(service), {
            ...nobody,
            muster_endpoints: 3,
            muster_snapshot_age_seconds: 0
          })
        }),
      Layer.succeed(Policy.Rewatch, Schedule.max([Schedule.spaced("1 seconds"), Schedule.recurs(1)]))
    ).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("a client that never reached its registry says so once, and once more where the reason is another", () =>
    scenario((script, orders, log) =>
      Effect.gen(function* () {
        yield* script.fail("refused")
        for (let attempt = 0; attempt < 20; attempt++) yield* later(script.fail("refused"))
        const unreached = "Warn cannot follow the registry and keeps trying: scripted:: orders: refused"
        assert.deepStrictEqual([tag(orders), log.lines], ["Loading", [unreached]])
        const wrong = new RegistryError.Unauthenticated({ message: "wrong password" })
        for (let attempt = 0; attempt < 20; attempt++) {
          yield* later(script.failWith(wrong))
          yield* later(script.fail("refused"))
        }
        const unknown = "Warn cannot follow the registry and keeps trying: scripted:: orders: wrong password"
        assert.deepStrictEqual([tag(orders), log.lines], ["Loading", [unreached, unknown]])
        yield* later(Effect.suspend(() => script.reset(...abc)))
        assert.deepStrictEqual(log.lines.slice(2), ["Info follows the registry: 3 endpoints"])
      })
    )
  )

  it.effect("says why it is frozen, again where the reason is another, and anew in the next outage", () =>
    scenario((script, _, log) =>
      Effect.gen(function* () {
        const wrong = script.failWith(new RegistryError.Unauthenticated({ message: "wrong password" }))
        yield* script.reset(...abc)
        const outage = [
          "Info follows the registry: 3 endpoints",
          "Warn lost sight of the registry and keeps serving 3 endpoints: scripted:: orders: refused",
          "Warn cannot follow the registry and keeps serving 3 endpoints: scripted:: orders: wrong password"
        ]
        yield* script.fail("refused")
        for (const failure of [script.fail("refused"), wrong, wrong, script.fail("refused")]) yield* later(failure)
        assert.deepStrictEqual(log.lines, outage)
        yield* later(Effect.suspend(() => script.reset(...abc)))
        for (const failure of [script.fail("refused"), wrong, script.fail("refused")]) yield* later(failure)
        assert.deepStrictEqual(log.lines, [...outage, ...outage])
      })
    )
  )

  it.effect("a service that is asked for while its registry is down says so, though it idled before", () =>
    scenario((script, _, log) =>
      Effect.gen(function* () {
        const users = Endpoint.ServiceName.make("users")
        yield* briefly(script, users, ...abc)
        yield* TestClock.adjust("61 seconds")
        yield* (yield* Discovery.Discovery).subscribe(users)
        yield* settle
        log.lines.length = 0
        yield* script.fail("refused")
        assert.deepStrictEqual(log.lines, [
          "Warn cannot follow the registry and keeps serving 3 endpoints: scripted:: users: refused"
        ])
      })
    )
  )

  it.effect("from the subscription on the gauges tell of nobody until the registry answers", () =>
    scenario((script) =>
      Effect.gen(function* () {
        const nobody = { muster_endpoints: 0, muster_held_endpoints: 0 }
        assert.deepStrictEqual(yield* told(service), nobody)
        yield* script.fail()
        assert.deepStrictEqual(yield* told(service), nobody)
      })
    ).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("reads everything again now and then, without a gap, and catches what no stream showed", () =>
    scenario((script, orders) =>
      Effect.gen(function* () {
        yield* script.reset(...abc)
        yield* TestClock.adjust("119 seconds")
        assert.strictEqual(script.opened.length, 1)
        for (let i = 0; i < 181 && script.opened.length === 1; i++) yield* TestClock.adjust("1 seconds")
        assert.strictEqual(script.opened.length, 2)
        assert.strictEqual(script.active.size, 1)
        assert.isUndefined(script.opened.at(-1)?.from)
        assert.deepStrictEqual([tag(orders), pickable(orders)], ["Live", ["a", "b", "c"]])
        yield* script.reset(...abc.slice(1), endpoint("d", { port: 4 }))
        assert.deepStrictEqual(pickable(orders), ["b", "c", "d"])
      })
    )
  )

  it.effect("reads everything now and then after a resume too, and does not resume once more", () =>
    scenario((script, orders) =>
      Effect.gen(function* () {
        yield* script.reset(...abc)
        yield* script.fail()
        yield* TestClock.adjust("1 seconds")
        assert.strictEqual(script.opened.at(-1)?.from, "1")
        yield* script.resume
        assert.strictEqual(tag(orders), "Live")
        const opened = script.opened.length
        for (let i = 0; i < 300 && script.opened.length === opened; i++) yield* TestClock.adjust("1 seconds")
        assert.strictEqual(script.opened.length, opened + 1)
        assert.isUndefined(script.opened.at(-1)?.from)
      })
    )
  )

  it.effect("F-local-c: a registry that comes back empty is doubted; the instances put themselves back", () =>
    scenario((script, orders) =>
      Effect.gen(function* () {
        yield* script.reset(...abc)
        yield* script.fail()
        yield* TestClock.adjust("1 seconds")
        yield* script.reset()
        assert.deepStrictEqual(
          [pickable(orders), heldOf(orders)],
          [
            ["a", "b", "c"],
            ["a", "b", "c"]
          ]
        )
        for (const endpoint of abc) yield* script.put(endpoint)
        assert.deepStrictEqual([pickable(orders), heldOf(orders)], [["a", "b", "c"], []])
      })
    )
  )

  it.effect("reads everything early once instances are held, and again when the read may be believed", () =>
    scenario((script, orders, log) =>
      Effect.gen(function* () {
        yield* script.reset(...abc)
        yield* script.remove("a", "b")
        assert.deepStrictEqual(heldOf(orders), ["a", "b"])
        assert.deepStrictEqual(log.probed.toSorted(), ["a", "b"])
        yield* TestClock.adjust("1500 millis")
        assert.strictEqual(script.opened.length, 2)
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(script.opened.length, 2, "a slow listing is not cut short by the next")
        yield* script.reset(...abc.slice(2))
        assert.deepStrictEqual(heldOf(orders), ["a", "b"])
        yield* TestClock.adjust("16 seconds")
        assert.strictEqual(script.opened.length, 3)
        assert.deepStrictEqual(heldOf(orders), ["a", "b"])
        yield* script.reset(...abc.slice(2))
        assert.deepStrictEqual([pickable(orders), heldOf(orders)], [["c"], []])
      })
    )
  )

  it.effect(
    "F-etcd-c: after an outage reads everything once the read may be believed, and not again and again before",
    () =>
      scenario((script, orders) =>
        Effect.gen(function* () {
          yield* script.reset(...abc)
          yield* script.remove("a", "b", "c")
          for (let second = 0; second < 20; second++) {
            yield* script.fail()
            yield* TestClock.adjust("1 seconds")
          }
          while (tag(orders) !== "Resyncing") yield* TestClock.adjust("1 seconds")
          const opened = script.opened.length
          yield* script.reset()
          yield* TestClock.adjust("9999 millis")
          assert.deepStrictEqual([heldOf(orders), script.opened.length], [["a", "b", "c"], opened])
          yield* TestClock.adjust("1501 millis")
          assert.strictEqual(script.opened.length, opened + 1)
          yield* script.reset()
          assert.deepStrictEqual([pickable(orders), heldOf(orders)], [[], []])
        })
      )
  )

  it.effect("a held instance leaves when its own connection is refused, by a probe or by a request", () =>
    scenario((script, orders) =>
      Effect.gen(function* () {
        const dead = new Endpoint.Endpoint({ ...endpoint("a", { port: 1 }), metadata: { alive: "no" } })
        yield* script.reset(dead, ...abc.slice(1))
        yield* script.remove("a", "b", "c")
        assert.deepStrictEqual(pickable(orders), ["b", "c"])
        yield* orders.refused(Endpoint.InstanceId.make("b"))
        assert.deepStrictEqual(pickable(orders), ["c"])
      })
    )
  )

  it.effect("black-holed instances that vanished are gone within 60 s, even while the registry is down", () =>
    scenario((script, orders) =>
      Effect.gen(function* () {
        const ten = Array.from({ length: 10 }, (_, i) => endpoint(`i${i}`, { port: 1 + i }))
        yield* script.reset(...ten)
        yield* script.remove(...ten.slice(2).map(({ id }) => id))
        assert.strictEqual(heldOf(orders).length, 8)
        yield* script.fail()
        yield* TestClock.adjust("60 seconds")
        assert.deepStrictEqual(pickable(orders), ["i0", "i1"])
      })
    )
  )

  it.effect("a hold ends after 60 s though timers fire a little early, as those of Node do", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const sleep = (duration: Duration.Duration) => clock.sleep(Duration.subtract(duration, Duration.millis(1.5)))
      yield* scenario((script, orders) =>
        Effect.gen(function* () {
          yield* script.reset(...abc)
          yield* script.remove("a", "b")
          yield* script.fail()
          yield* TestClock.adjust("59 seconds")
          assert.deepStrictEqual(heldOf(orders), ["a", "b"])
          yield* TestClock.adjust("1 seconds")
          assert.deepStrictEqual([pickable(orders), heldOf(orders)], [["c"], []])
        })
      ).pipe(Effect.provideService(Clock.Clock, { ...clock, sleep }))
    })
  )

  it.effect("one watch serves all subscribers; it is released when idle, and what was learned is kept", () =>
    scenario((script) =>
      Effect.gen(function* () {
        yield* script.reset(...abc)
        const discovery = yield* Discovery.Discovery
        yield* Effect.scoped(Effect.forEach(Array.from({ length: 100 }), () => discovery.subscribe(service)))
        assert.strictEqual(script.opened.length, 1)

        const other = Endpoint.ServiceName.make("users")
        const view = yield* Effect.scoped(
          Effect.gen(function* () {
            const users = yield* discovery.subscribe(other)
            yield* settle
            yield* script.reset(...abc)
            return users
          })
        )
        assert.strictEqual(script.active.size, 2)
        yield* TestClock.adjust("60 seconds")
        assert.strictEqual(script.active.size, 1)
        assert.deepStrictEqual([tag(view), pickable(view)], ["Frozen", ["a", "b", "c"]])

        const again = yield* discovery.subscribe(other)
        yield* settle
        assert.deepStrictEqual([tag(again), pickable(again)], ["Resyncing", ["a", "b", "c"]])
        assert.strictEqual(script.opened.at(-1)?.from, "2")
      }).pipe(Effect.provide(Layer.empty))
    )
  )

  it.effect(
    "F-c2: subscribed again after idling while the registry is down, it serves what it knew, marked stale",
    () =>
      scenario((script) =>
        Effect.gen(function* () {
          yield* script.reset(...abc)
          const discovery = yield* Discovery.Discovery
          const users = Endpoint.ServiceName.make("users")
          yield* Effect.scoped(
            Effect.andThen(
              discovery.subscribe(users),
              Effect.andThen(
                settle,
                Effect.suspend(() => script.reset(...abc))
              )
            )
          )
          yield* TestClock.adjust("60 seconds")
          const again = yield* discovery.subscribe(users)
          yield* settle
          for (let attempt = 0; attempt < 5; attempt++) {
            yield* script.fail()
            assert.deepStrictEqual([tag(again), pickable(again)], ["Frozen", ["a", "b", "c"]])
            yield* TestClock.adjust("6 seconds")
            assert.deepStrictEqual([tag(again), pickable(again)], ["Resyncing", ["a", "b", "c"]])
          }
          // It was followed until it was released.
          assert.deepStrictEqual(yield* again.age, Duration.seconds(30))
          yield* script.reset(...abc)
          assert.deepStrictEqual([tag(again), yield* again.age], ["Live", Duration.zero])
        })
      )
  )

  it.effect("F-c5: subscribed and unsubscribed 10 000 times leaves no watch behind", () =>
    scenario((script) =>
      Effect.gen(function* () {
        yield* script.reset(...abc)
        const discovery = yield* Discovery.Discovery
        for (let i = 0; i < 10_000; i++) {
          yield* Effect.scoped(discovery.subscribe(Endpoint.ServiceName.make(`s${i % 10}`)))
          if (i % 500 === 499) yield* TestClock.adjust("61 seconds")
        }
        assert.deepStrictEqual(
          [...script.active].filter((watch) => watch.service !== service),
          []
        )
        assert.isAtLeast(script.opened.length, 200)
      })
    )
  )

  it.effect("F-c5: keeps nothing of a name under which nobody was ever registered once nobody asks for it", () =>
    scenario((script) =>
      Effect.gen(function* () {
        const discovery = yield* Discovery.Discovery
        const names = Array.from({ length: 50 }, (_, index) => Endpoint.ServiceName.make(`nobody-${index}`))
        yield* Effect.forEach(names, (name) => briefly(script, name))
        yield* TestClock.adjust("61 seconds")
        for (const name of names) {
          assert.deepStrictEqual(yield* told(name), {})
          assert.deepStrictEqual(yield* discovery.state(name), DiscoveryState.initial)
        }
      })
    ).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("a service that nobody asks for does not look frozen, and is told of again once somebody does", () =>
    scenario((script) =>
      Effect.gen(function* () {
        const users = Endpoint.ServiceName.make("users")
        yield* briefly(script, users, ...abc)
        const live = {
          muster_endpoints: 3,
          muster_held_endpoints: 0,
          muster_frozen: 0,
          muster_remembered: 0,
          muster_snapshot_age_seconds: 0
        }
        assert.deepStrictEqual(yield* told(users), live)
        yield* TestClock.adjust("61 seconds")
        assert.deepStrictEqual(yield* told(users), {})
        yield* (yield* Discovery.Discovery).subscribe(users)
        yield* settle
        yield* script.resume
        assert.deepStrictEqual(yield* told(users), live)
      })
    ).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.effect("subscribed again while its old watch is still being released, it waits for that and then resumes", () =>
    Effect.gen(function* () {
      let active = 0
      let most = 0
      const slow = Layer.succeed(Resolver.Resolver, {
        registry: "slow:",
        watch: () =>
          Stream.scoped(
            Stream.fromEffect(
              Effect.acquireRelease(
                Effect.sync((): Change.Change => {
                  most = Math.max(most, ++active)
                  return { _tag: "Reset", endpoints: abc, cursor: Change.Cursor.make("1"), skipped: [] }
                }),
                () =>
                  Effect.andThen(
                    Effect.sleep("5 seconds"),
                    Effect.sync(() => active--)
                  )
              )
            ).pipe(Stream.concat(Stream.never))
          )
      })
      const scope = yield* Scope.make()
      const { subscribe } = Context.get(
        yield* Layer.buildWithScope(Layer.provide(Discovery.layer, slow), scope),
        Discovery.Discovery
      )
      yield* Effect.scoped(Effect.andThen(subscribe(service), settle))
      yield* TestClock.adjust("60 seconds")
      const orders = yield* Scope.provide(subscribe(service), scope)
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual([tag(orders), pickable(orders)], ["Live", ["a", "b", "c"]])
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual([tag(orders), active, most], ["Live", 1, 1])
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(closing)
      assert.strictEqual(active, 0)
    })
  )

  it.effect("leaves no watch behind when its layer closes", () =>
    Effect.gen(function* () {
      const script = make()
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Layer.provide(Discovery.layer, script.layer), scope)
      yield* Effect.flatMap(Discovery.Discovery, (discovery) => discovery.subscribe(service)).pipe(
        Effect.provide(context),
        Scope.provide(scope)
      )
      yield* settle
      assert.strictEqual(script.active.size, 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(script.active.size, 0)
    })
  )

  it.effect("killed by a defect it freezes, says so, and runs again", () =>
    scenario((script, orders, log) =>
      Effect.gen(function* () {
        yield* script.reset(...abc)
        yield* script.die("injected")
        const state = orders.current()
        assert.isTrue(
          state._tag === "Frozen" && state.cause?._tag === "Died" && state.cause.defect.includes("injected")
        )
        assert.deepStrictEqual(pickable(orders), ["a", "b", "c"])
        assert.isTrue(log.events.some((event) => event._tag === "Disconnected" && event.cause._tag === "Died"))
        yield* TestClock.adjust("121 millis")
        yield* script.resume
        assert.strictEqual(tag(orders), "Live")
      })
    )
  )

  for (const jump of [Duration.hours(1), Duration.hours(-1)]) {
    it.effect(`F-c3: a wall clock that jumps by ${Duration.format(jump)} ages and expires nothing`, () =>
      Effect.gen(function* () {
        const clock = yield* wallClockOffBy(() => offset)
        let offset = 0
        yield* scenario((script, orders) =>
          Effect.gen(function* () {
            yield* script.reset(...abc)
            yield* script.remove("a", "b")
            yield* script.fail()
            yield* TestClock.adjust("10 seconds")
            offset = Duration.toMillis(jump)
            yield* TestClock.adjust("49 seconds")
            assert.deepStrictEqual(heldOf(orders), ["a", "b"])
            assert.deepStrictEqual(yield* orders.age, Duration.seconds(59))
            yield* TestClock.adjust("1 seconds")
            assert.deepStrictEqual(heldOf(orders), [])
          })
        ).pipe(Effect.provideService(Clock.Clock, clock))
      })
    )
  }

  for (const jump of [Duration.hours(1), Duration.hours(-1)]) {
    it.effect(`F-c3: a wall clock that jumps by ${Duration.format(jump)} ends no freeze, and prolongs none`, () =>
      Effect.gen(function* () {
        const clock = yield* wallClockOffBy(() => offset)
        let offset = 0
        const halfAMinute = Schedule.upTo(Schedule.spaced("1 seconds"), { duration: "30 seconds" })
        yield* scenario(
          (script, orders) =>
            Effect.gen(function* () {
              const down = Effect.andThen(script.fail(), TestClock.adjust("1 seconds"))
              yield* script.reset(...abc)
              for (let second = 0; second < 30; second++) {
                if (second === 10) offset = Duration.toMillis(jump)
                yield* down
                assert.strictEqual(tag(orders), "Resyncing", `after ${second} s`)
              }
              yield* Effect.andThen(down, down)
              assert.strictEqual(tag(orders), "Failed")
            }),
          Layer.succeed(Policy.Rewatch, halfAMinute)
        ).pipe(Effect.provideService(Clock.Clock, clock))
      })
    )
  }

  it.effect("F-c4: a slow subscriber gets the newest state, not a queue", () =>
    scenario((script, orders) =>
      Effect.gen(function* () {
        yield* script.reset(...abc)
        const seen: Array<number> = []
        const reader = yield* orders.changes.pipe(
          Stream.runForEach((state) =>
            Effect.suspend(() => {
              if (DiscoveryState.isKnown(state)) seen.push(state.snapshot.version)
              return Effect.sleep("1 seconds")
            })
          ),
          Effect.forkChild
        )
        for (let i = 0; i < 1000; i++) yield* script.put(endpoint("d", { port: 1 + i }))
        yield* TestClock.adjust("3 seconds")
        assert.deepStrictEqual(seen, [1, 1001])
        yield* Fiber.interrupt(reader)
      })
    )
  )

  it.effect("F-local-i: a malformed entry is skipped and counted; the instance it overwrote stays", () =>
    scenario((script, orders) =>
      Effect.gen(function* () {
        yield* script.reset(...abc)
        yield* TestClock.adjust("5 minutes")
        const skipped = [
          { key: "orders/a", id: Endpoint.InstanceId.make("a"), problem: "not JSON" },
          { key: "x", problem: "foreign" }
        ]
        yield* script.resetSkipping(skipped, ...abc.slice(1))
        assert.deepStrictEqual(pickable(orders), ["a", "b", "c"])
      })
    )
  )

  it.effect("its recorded log gives every state again", () =>
    scenario((script, orders, log) =>
      Effect.gen(function* () {
        yield* script.reset(...abc)
        yield* script.remove("a", "b")
        yield* script.fail()
        yield* TestClock.adjust("20 seconds")
        yield* script.reset(...abc.slice(2))
        yield* script.put(endpoint("d", { port: 4 }))
        const replayed = yield* Effect.forEach(log.events, (event) =>
          Effect.flatMap(Schema.encodeEffect(DiscoveryState.Event)(event), Schema.decodeEffect(DiscoveryState.Event))
        )
        const state = replayed.reduce(DiscoveryState.step(Policy.MassRemoval.defaultValue()), DiscoveryState.initial)
        assert.deepStrictEqual(JSON.stringify(state), JSON.stringify(orders.current()))
      })
    )
  )
})
