import { assert, describe, it } from "@effect/vitest"
import {
  Clock,
  Context,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Metric,
  Ref,
  References,
  Schedule,
  Schema,
  Scope,
  Stream,
  Tracer
} from "effect"
import { TestClock } from "effect/testing"
import { Endpoint, Metrics, Policy, RegistrationState, RegistryError } from "@muster/core"
import { Registrar } from "@muster/runtime"
import {
  dies,
  down,
  hangs,
  hangsUninterruptibly,
  losesTheReply,
  make,
  type ScriptedRegistry,
  takes
} from "./fixtures/ScriptedRegistry.ts"
import { settle } from "./fixtures/ScriptedResolver.ts"
import { wallClockOffBy } from "../../backends/test/fixtures/wallClock.ts"
import * as Tracing from "./fixtures/tracing.ts"

const { LeaseLost, EntryMissing, Superseded } = RegistryError
const options = { service: "orders", id: "a", advertise: { host: "127.0.0.1", port: 4000 } } as const
const ttl = 10_000
const third = ttl / 3

interface Instance {
  readonly registrar: Registrar.Registrar["Service"]
  readonly tag: Effect.Effect<string>
  readonly events: ReadonlyArray<RegistrationState.Event>
  readonly states: ReadonlyArray<RegistrationState.RegistrationState>
  readonly lines: ReadonlyArray<string>
  /** Releases the registration, as SIGTERM would. */
  readonly close: Effect.Effect<void>
}

/** Builds a layer in a scope of its own, which the test closes; where it forgets, nobody waits for the drain. */
const launch = <A, E>(layer: Layer.Layer<A, E>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const close = Scope.close(scope, Exit.void)
    yield* Effect.addFinalizer(() => Effect.forkDetach(close))
    const context = yield* Layer.buildWithScope(layer, scope)
    yield* settle
    return { context, close }
  })

/** Starts an instance against a scripted registry. */
const start = (
  script: ScriptedRegistry,
  more: Partial<Registrar.Options> = {},
  policies: Layer.Layer<never> = Layer.empty
) =>
  Effect.gen(function* () {
    const events: Array<RegistrationState.Event> = []
    const lines: Array<string> = []
    const logger = Logger.layer([
      Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${String(message)}`))
    ])
    const recorder = Layer.succeed(Registrar.Recorder, (_, event) => void events.push(event))
    const { context, close } = yield* launch(
      Registrar.serve(Layer.empty, { ...options, ...more }).pipe(
        Layer.provide([script.layer, logger, policies, recorder])
      )
    )
    const registrar = Context.get(context, Registrar.Registrar)
    const instance: Instance = {
      registrar,
      tag: Effect.map(registrar.state, ({ _tag }) => _tag),
      events,
      get states() {
        return fold(events)
      },
      lines,
      close
    }
    return instance
  })

const fold = (events: ReadonlyArray<RegistrationState.Event>) => {
  let state = RegistrationState.initial
  return events.map((event) => (state = RegistrationState.step(state, event)))
}

/** How long closing takes, on the test's clock, which is moved on until it is done. */
const timeToClose = ({ close }: Instance) =>
  Effect.gen(function* () {
    const from = yield* Clock.currentTimeMillis
    const closing = yield* Effect.forkChild(close)
    yield* settle
    while (closing.pollUnsafe() === undefined) {
      yield* TestClock.adjust("10 millis")
      yield* settle
    }
    yield* Fiber.join(closing)
    return (yield* Clock.currentTimeMillis) - from
  })

const pass = (duration: Duration.Input) => Effect.andThen(TestClock.adjust(duration), settle)

describe("Registrar", () => {
  it.effect("registers, renews every third of the time to live, and stays registered for an hour", () =>
    Effect.gen(function* () {
      const script = make()
      const instance = yield* start(script)
      yield* instance.registrar.registered
      assert.strictEqual(script.entries.get("orders/a")?.endpoint.address, "127.0.0.1:4000")
      for (let minute = 0; minute < 60; minute++) {
        yield* pass("1 minute")
        assert.strictEqual(yield* instance.tag, "Registered")
      }
      assert.strictEqual(script.count("register"), 1)
      const renewals = script.calls.filter(({ op }) => op === "renew").map(({ at }) => at)
      assert.strictEqual(renewals.length, Math.floor(3_600_000 / third))
      renewals.forEach((at, index) => assert.approximately(at, (index + 1) * third, 2))
    })
  )

  it.effect(
    "many that registered one after the other renew together, none later than a third of the time to live",
    () =>
      Effect.gen(function* () {
        const script = make()
        for (let n = 0; n < 100; n++) {
          yield* start(script, { id: `i-${n}` })
          yield* pass("31 millis")
        }
        const renewals = () => script.calls.filter(({ op }) => op === "renew").map(({ at }) => at)
        yield* pass("1 minute")
        const before = renewals().length
        yield* pass(third)
        const [...last] = renewals().slice(before)
        assert.strictEqual(last.length, 100)
        assert.isAtMost(new Set(last.map((at) => Math.round(at / 10))).size, 33)
        assert.isAtLeast(renewals().length, 100 * Math.floor(60_000 / third))
      })
  )

  it.effect("F-s1: is not registered before it says that it is ready", () =>
    Effect.gen(function* () {
      const script = make()
      const ready = yield* Ref.make<Effect.Effect<boolean, string>>(Effect.succeed(false))
      const instance = yield* start(script, { ready: Effect.flatten(Ref.get(ready)) })
      for (const notYet of [Effect.succeed(false), Effect.fail("not yet"), Effect.never]) {
        yield* Ref.set(ready, notYet)
        yield* pass("10 seconds")
        assert.deepStrictEqual([yield* instance.tag, script.calls], ["Idle", []])
      }
      yield* Ref.set(ready, Effect.succeed(true))
      yield* pass("4 seconds")
      assert.deepStrictEqual([yield* instance.tag, script.count("register")], ["Registered", 1])
    })
  )

  it.effect("asks for readiness what the serving layer provides", () =>
    Effect.gen(function* () {
      const script = make()
      const { context } = yield* launch(
        Registrar.serve(Layer.succeed(Warm, true), { ...options, ready: Warm.use(Effect.succeed) }).pipe(
          Layer.provide(script.layer)
        )
      )
      assert.strictEqual((yield* Context.get(context, Registrar.Registrar).state)._tag, "Registered")
      assert.isTrue(Context.get(context, Warm))
    })
  )

  it.effect("F-a: renews the same lease while the registry is down for less than its time to live", () =>
    Effect.gen(function* () {
      const script = make()
      const instance = yield* start(script)
      for (let outage = 0; outage < 20; outage++) {
        yield* pass("3 seconds")
        script.all(down)
        yield* pass("5 seconds")
        assert.strictEqual(yield* instance.tag, "Renewing")
        script.all(undefined)
        yield* pass("4 seconds")
        assert.strictEqual(yield* instance.tag, "Registered")
      }
      assert.strictEqual(script.count("register"), 1)
      assert.isFalse(instance.states.some(({ _tag }) => _tag === "Lost"))
      assert.strictEqual(instance.lines.filter((line) => line.includes("cannot renew")).length, 20)
    })
  )

  it.effect(
    "F-a: never pauses for more than a ninth of the time to live, so that no outage's end is slept through",
    () =>
      Effect.gen(function* () {
        const script = make()
        const instance = yield* start(script)
        script.all(down)
        yield* pass("10 minutes")
        assert.strictEqual(yield* instance.tag, "Lost")
        script.all(undefined)
        yield* pass(ttl / 9 + 1)
        assert.deepStrictEqual([yield* instance.tag, script.count("register")], ["Registered", 1])
      })
  )
  it.effect("F-a: loses the lease at its own deadline, and takes the same one back if the registry kept it", () =>
    Effect.gen(function* () {
      const script = make()
      const instance = yield* start(script)
      script.all(hangs)
      yield* pass(ttl - 1)
      assert.strictEqual(yield* instance.tag, "Renewing")
      yield* pass(2)
      assert.strictEqual(yield* instance.tag, "Lost")
      yield* pass("10 minutes")
      assert.deepStrictEqual([yield* instance.tag, script.open.most], ["Lost", 1])
      script.all(undefined)
      yield* pass("10 seconds")
      assert.deepStrictEqual([yield* instance.tag, script.count("register")], ["Registered", 1])
    })
  )

  it.effect(
    "F-c: puts itself back under the same id when the registry comes back empty, the same lease tried first",
    () =>
      Effect.gen(function* () {
        const script = make()
        const instance = yield* start(script)
        script.all(down)
        yield* pass("1 minute")
        script.expire()
        script.all(undefined)
        const before = script.calls.length
        yield* pass("10 seconds")
        assert.strictEqual(yield* instance.tag, "Registered")
        const [renewal, registration] = script.calls.slice(before)
        assert.deepStrictEqual([renewal?.op, registration?.op], ["renew", "register"])
        assert.approximately((registration?.at ?? 0) - (renewal?.at ?? 0), 100, 20.1)
        assert.strictEqual(script.entries.get("orders/a")?.lease, "2")
        assert.strictEqual(script.count("register"), 2)
      })
  )

  it.effect("F-c: puts an entry back that vanished under a living lease", () =>
    Effect.gen(function* () {
      const script = make()
      const instance = yield* start(script)
      script.dropEntries()
      yield* pass(third + 200)
      assert.deepStrictEqual([yield* instance.tag, script.entries.size], ["Registered", 1])
      assert.strictEqual(script.count("register"), 2)
    })
  )

  it.effect("F-c: comes back as soon as ever from each loss, however many there were, once a lease held", () =>
    Effect.gen(function* () {
      const script = make()
      const instance = yield* start(script)
      for (let loss = 0; loss < 8; loss++) {
        yield* pass("1 minute")
        assert.include(["Registered", "Renewing"], yield* instance.tag)
        yield* script.expireTelling(new LeaseLost({ message: "wiped" }))
        yield* pass("150 millis")
        assert.strictEqual(yield* instance.tag, "Registered", `loss ${loss}`)
      }
    })
  )

  it.effect("F-c: does not put all instances back at the same moment", () =>
    Effect.gen(function* () {
      for (const loss of ["expire", "dropEntries"] as const) {
        const scripts = Array.from({ length: 20 }, make)
        for (const script of scripts) yield* start(script)
        const from = yield* Clock.currentTimeMillis
        scripts.forEach((script) => script[loss]())
        yield* pass("5 seconds")
        const moments = scripts.map((script) => script.calls.findLast(({ op }) => op === "register")?.at ?? 0)
        assert.isAbove(Math.min(...moments), from)
        assert.isAbove(Math.max(...moments) - Math.min(...moments), 5)
      }
    })
  )

  it.effect("reacts to what the back end hears between two renewals", () =>
    Effect.gen(function* () {
      for (const reason of [new LeaseLost({ message: "expired" }), new EntryMissing({ message: "deleted" })]) {
        const script = make()
        const instance = yield* start(script)
        yield* pass("30 seconds")
        yield* script.expireTelling(reason)
        yield* pass("250 millis")
        assert.deepStrictEqual([yield* instance.tag, script.count("register")], ["Registered", 2])
        assert.strictEqual(script.entries.size, 1)
      }
      const script = make()
      const instance = yield* start(script)
      yield* script.expireTelling(new Superseded({ message: "claimed" }))
      yield* settle
      assert.strictEqual(yield* instance.tag, "Fenced")
    })
  )

  it.effect("keeps a lease that the back end took for lost and the registry kept, and hears of that once", () =>
    Effect.gen(function* () {
      const script = make()
      const instance = yield* start(script)
      yield* pass("1 second")
      yield* script.tellLost(new LeaseLost({ message: "expired" }))
      yield* settle
      assert.deepStrictEqual([yield* instance.tag, script.count("renew")], ["Registered", 1])
      yield* pass("20 seconds")
      assert.deepStrictEqual([script.count("renew"), script.count("register")], [7, 1])
    })
  )

  it.effect("is never hotter than its schedule when every lease is lost at once", () =>
    Effect.gen(function* () {
      const script = make()
      yield* start(script)
      for (let second = 0; second < 600; second++) {
        yield* script.expireTelling(new LeaseLost({ message: "expired" }))
        yield* pass("100 millis")
      }
      assert.isBelow(script.count("register"), 45)
    })
  )

  it.effect(
    "F-h: paused for longer than the time to live, it loses one lease and takes one new under the same id",
    () =>
      Effect.gen(function* () {
        const script = make()
        let paused = 0
        const clock = yield* monotonicAheadBy(() => paused)
        const instance = yield* start(script).pipe(Effect.provideService(Clock.Clock, clock))
        yield* pass("1 second")
        script.expire()
        paused = 60_000
        yield* pass("10 seconds")
        assert.strictEqual(yield* instance.tag, "Registered")
        assert.strictEqual(script.count("register"), 2)
        assert.strictEqual(instance.events.filter(({ _tag }) => _tag === "LeaseLost").length, 1)
        assert.deepStrictEqual([...script.entries.keys()], ["orders/a"])
      })
  )

  it.effect("F-c3: after a suspension that the lease survived, the renewal's answer counts, not the gap", () =>
    Effect.gen(function* () {
      const script = make()
      let suspended = 0
      const clock = yield* monotonicAheadBy(() => suspended)
      const instance = yield* start(script).pipe(Effect.provideService(Clock.Clock, clock))
      yield* pass("1 second")
      script.all(takes("50 millis"))
      suspended = 3_600_000
      yield* pass("10 seconds")
      assert.deepStrictEqual([yield* instance.tag, script.count("register")], ["Registered", 1])
      assert.isFalse(instance.states.some(({ _tag }) => _tag === "Lost"))
    })
  )

  it.effect("F-c3: nothing expires or lives longer when the wall clock jumps by an hour", () =>
    Effect.gen(function* () {
      const script = make()
      let offset = 0
      const clock = yield* wallClockOffBy(() => offset)
      const instance = yield* start(script).pipe(Effect.provideService(Clock.Clock, clock))
      for (const jump of [3_600_000, -3_600_000]) {
        offset = jump
        yield* pass("61 seconds")
        assert.strictEqual(yield* instance.tag, "Registered")
      }
      assert.deepStrictEqual([script.count("register"), script.count("renew")], [1, 36])
      const left = 36 * third + ttl - 122_000
      script.all(hangs)
      yield* pass(left - 5000)
      for (const jump of [3_600_000, -3_600_000, 0, 3_600_000]) {
        assert.strictEqual(yield* instance.tag, "Renewing")
        offset = jump
        yield* pass(1249)
      }
      assert.strictEqual(yield* instance.tag, "Renewing")
      yield* pass(10)
      assert.strictEqual(yield* instance.tag, "Lost")
    })
  )

  it.effect("F-m: is fenced for good once a later process owns its id, and leaves that entry alone", () =>
    Effect.gen(function* () {
      const script = make()
      const instance = yield* start(script)
      const theirs = new Endpoint.Endpoint({ ...instance.registrar.endpoint, port: 4001, startedAt: 1 })
      script.takeOver(theirs)
      yield* pass("4 seconds")
      assert.strictEqual(yield* instance.tag, "Fenced")
      const asked = script.calls.length
      yield* pass("1 hour")
      assert.strictEqual(yield* timeToClose(instance), 0)
      assert.strictEqual(script.calls.length, asked)
      assert.strictEqual(script.entries.get("orders/a")?.endpoint, theirs)
      assert.isTrue(instance.lines.some((line) => line.startsWith("Error") && line.includes("started later")))
      assert.strictEqual(instance.lines.at(-1), "Info stopped; its instance id belongs to a process that started later")
    })
  )

  it.effect("F-m: of two processes with one id the later one wins, and neither flaps", () =>
    Effect.gen(function* () {
      const script = make()
      const first = yield* start(script)
      yield* pass("1 second")
      const second = yield* start(script)
      yield* pass("1 minute")
      assert.deepStrictEqual([yield* first.tag, yield* second.tag], ["Fenced", "Registered"])
      assert.strictEqual(script.count("register"), 2)
      const older = yield* start(script).pipe(Effect.provideService(Clock.Clock, yield* wallClockOffBy(() => -61_000)))
      yield* pass("1 minute")
      assert.deepStrictEqual([yield* older.tag, yield* second.tag], ["Fenced", "Registered"])
    })
  )

  it.effect("F-m: outbids a predecessor once, and is fenced by whoever answers that", () =>
    Effect.gen(function* () {
      const script = make()
      script.behave.register = (_, { startedAt, ...described }) =>
        Effect.fail(
          new RegistryError.RegistryError({
            registry: "scripted:",
            key: "orders/a",
            reason: new Superseded({
              message: "held",
              by: new Endpoint.Endpoint({ ...described, startedAt: startedAt + 1 })
            })
          })
        )
      const instance = yield* start(script)
      assert.strictEqual(script.count("register"), 2)
      yield* pass("20 seconds")
      assert.strictEqual(yield* instance.tag, "Fenced")
      assert.isBelow(script.count("register"), 15)
    })
  )

  it.effect("F-n: a registration whose answer was lost is asked for again under the same id", () =>
    Effect.gen(function* () {
      const script = make()
      script.behave.register = losesTheReply
      const instance = yield* start(script)
      yield* pass("10 seconds")
      assert.deepStrictEqual([yield* instance.tag, [...script.entries.keys()]], ["Granting", ["orders/a"]])
      script.all(undefined)
      yield* pass("10 seconds")
      assert.deepStrictEqual([yield* instance.tag, [...script.entries.keys()]], ["Registered", ["orders/a"]])
    })
  )

  it.effect("F-o: a registry that takes 15 s for every call gets one call at a time, each with a deadline", () =>
    Effect.gen(function* () {
      const script = make()
      script.all(takes("15 seconds"))
      const instance = yield* start(script)
      yield* pass("10 minutes")
      assert.strictEqual(yield* instance.tag, "Granting")
      assert.strictEqual(script.open.most, 1)
      assert.isBelow(script.calls.length, 600 / 13)
      assert.isAbove(script.calls.length, 600 / 15)
      script.all(takes("2 seconds"))
      yield* pass("20 seconds")
      assert.include(["Registered", "Renewing"], yield* instance.tag)
    })
  )

  it.effect(
    "F-o: a registry that takes 5 s for every call gets one call at a time, and the lease is not given up",
    () =>
      Effect.gen(function* () {
        const script = make()
        script.all(takes("5 seconds"))
        const instance = yield* start(script)
        yield* pass("10 minutes")
        assert.strictEqual(script.open.most, 1)
        assert.strictEqual(script.count("register"), 1)
        assert.isBelow(script.calls.length, 600 / 4)
        script.all(takes("2 seconds"))
        yield* pass("20 seconds")
        assert.include(["Registered", "Renewing"], yield* instance.tag)
      })
  )

  it.effect(
    "F-o: a registration is waited for while it may still consist of exchanges that each keep their deadline",
    () =>
      Effect.gen(function* () {
        const script = make()
        script.behave.register = takes("11 seconds")
        const instance = yield* start(script)
        yield* pass("11 seconds")
        assert.include(["Registered", "Renewing"], yield* instance.tag)
        assert.strictEqual(script.count("register"), 1)
        // The lease may have been granted eleven seconds ago.
        assert.strictEqual(script.count("renew"), 1)
      })
  )

  it.effect("starts degraded while the registry is down, says so once, and registers when it is back", () =>
    Effect.gen(function* () {
      const script = make()
      script.all(down)
      const instance = yield* start(script)
      yield* pass("10 minutes")
      assert.strictEqual(yield* instance.tag, "Granting")
      assert.isAbove(script.count("register"), 90)
      assert.strictEqual(instance.lines.filter((line) => line.includes("keeps trying")).length, 1)
      script.all(undefined)
      yield* pass("6 seconds")
      assert.strictEqual(yield* instance.tag, "Registered")
    })
  )

  it.effect("stops trying when Policy.Reregister ends, says so, and serves on", () =>
    Effect.gen(function* () {
      const script = make()
      script.all(down)
      const instance = yield* start(script, {}, Layer.succeed(Policy.Reregister, Schedule.recurs(2)))
      yield* pass("10 minutes")
      assert.deepStrictEqual([yield* instance.tag, script.count("register")], ["Granting", 3])
      assert.isTrue(instance.lines.some((line) => line.includes("Policy.Reregister has come to its end")))
    })
  )

  it.effect("F-c3: a Policy.Reregister that ends by time ends by that and not by the wall clock", () =>
    Effect.gen(function* () {
      let offset = 0
      const clock = yield* wallClockOffBy(() => offset)
      const script = make()
      script.all(down)
      const aMinute = Schedule.upTo(Schedule.spaced("1 seconds"), { duration: "1 minutes" })
      yield* start(script, {}, Layer.succeed(Policy.Reregister, aMinute)).pipe(
        Effect.provideService(Clock.Clock, clock)
      )
      yield* pass("10 seconds")
      offset = Duration.toMillis("1 hours")
      yield* pass("50 seconds")
      assert.strictEqual(script.count("register"), 61)
      offset = -offset
      yield* pass("10 minutes")
      assert.strictEqual(script.count("register"), 62)
    })
  )

  it.effect("keeps its id, its start and all that it says of itself in every registration", () =>
    Effect.gen(function* () {
      const script = make()
      const described = { weight: 2, zone: "z1", version: "1.2.3", metadata: { commit: "abc" } }
      yield* pass("42 seconds")
      const instance = yield* start(script, described)
      const { endpoint } = instance.registrar
      assert.deepInclude(
        { ...endpoint },
        { ...described, id: Endpoint.InstanceId.make("a"), startedAt: 42_000, draining: false }
      )
      script.expire()
      yield* pass("10 seconds")
      assert.deepStrictEqual(script.entries.get("orders/a")?.endpoint, endpoint)
    })
  )

  it.effect("gives each instance an id of its own", () =>
    Effect.gen(function* () {
      const script = make()
      for (let n = 0; n < 10; n++) yield* start(script, { id: undefined })
      assert.strictEqual(script.entries.size, 10)
    })
  )

  it.effect("refuses a bad service name, id, weight or port with an error that says which", () =>
    Effect.gen(function* () {
      const cases = [
        { service: "Or ders", says: "service" },
        { id: "a/b", says: "id" },
        { weight: -1, says: "weight" },
        { advertise: { host: "127.0.0.1", port: 0 }, says: "port" },
        { advertise: { host: "[::1]", port: 80 }, says: "host" }
      ]
      for (const { says, ...more } of cases) {
        const error = yield* Effect.flip(start(make(), more))
        assert.strictEqual(error._tag, "RegistrarError")
        assert.match(error.message, new RegExp(`^\\S.*: Expected .* at \\["${says}"\\]$`))
      }
    })
  )

  it.effect("F-s2: draining is told, waited for, and only then is the entry withdrawn", () =>
    Effect.gen(function* () {
      const script = make()
      const instance = yield* start(script)
      yield* pass("1 second")
      const closing = yield* Effect.forkChild(instance.close)
      yield* settle
      assert.isTrue(script.entries.get("orders/a")?.endpoint.draining)
      yield* pass(999)
      assert.isTrue(script.entries.get("orders/a")?.endpoint.draining)
      yield* pass(1)
      yield* Fiber.join(closing)
      assert.strictEqual(script.entries.size, 0)
      assert.deepStrictEqual(
        script.calls.map(({ op, at }) => [op, at]),
        [["register", 0], ["update", 1000], ["revoke", 2000]] // prettier-ignore
      )
      assert.deepStrictEqual(
        instance.states.map(({ _tag }) => _tag),
        ["Granting", "Registered", "Draining", "Withdrawn"]
      )
    })
  )

  for (const [how, behaviour] of [
    ["hangs", hangs],
    ["hangs and cannot be interrupted", hangsUninterruptibly],
    ["refuses every call", down],
    ["takes 5 s for every call", takes("5 seconds")],
    ["dies at every call", dies]
  ] as const) {
    it.effect(`F-s2: leaves within the drain wait and 2 s while the registry ${how}, whatever it was doing`, () =>
      Effect.gen(function* () {
        for (const after of [0, 1000, third + 1, third + 3100, ttl + 1000, 60_000]) {
          const script = make()
          const instance = yield* start(script)
          script.all(behaviour)
          yield* pass(after)
          assert.isAtMost(yield* timeToClose(instance), 3000)
          assert.strictEqual(yield* instance.tag, "Withdrawn")
        }
        const script = make()
        script.all(behaviour)
        const neverRegistered = yield* start(script)
        yield* pass("1 second")
        assert.isAtMost(yield* timeToClose(neverRegistered), 3000)
        assert.strictEqual(yield* neverRegistered.tag, "Withdrawn")
      })
    )
  }

  it.effect("two services of one process leave one after the other, the outer one first", () =>
    Effect.gen(function* () {
      const script = make()
      const admin = { ...options, service: "admin", advertise: { host: "127.0.0.1", port: 9000 } }
      const { context, close } = yield* launch(
        Registrar.serve(Registrar.serve(Layer.empty, options), admin).pipe(Layer.provide(script.layer))
      )
      assert.strictEqual(Context.get(context, Registrar.Registrar).endpoint.service, "admin")
      const drains = () => [...script.entries].map(([key, { endpoint }]) => `${key} ${endpoint.draining}`).toSorted()
      assert.deepStrictEqual(drains(), ["admin/a false", "orders/a false"])
      yield* Effect.forkChild(close)
      yield* pass("900 millis")
      assert.deepStrictEqual(drains(), ["admin/a true", "orders/a false"])
      yield* pass("1 seconds")
      assert.deepStrictEqual(drains(), ["orders/a true"])
      yield* pass("1 seconds")
      assert.deepStrictEqual(drains(), [])
    })
  )

  it.effect("F-s2: goes on telling a registry that was down for a moment that it is draining", () =>
    Effect.gen(function* () {
      const script = make()
      const instance = yield* start(script)
      script.all(down)
      const closing = yield* Effect.forkChild(instance.close)
      yield* pass("250 millis")
      script.all(undefined)
      yield* pass("400 millis")
      assert.isTrue(script.entries.get("orders/a")?.endpoint.draining)
      yield* pass("1 second")
      yield* Fiber.join(closing)
      assert.strictEqual(script.entries.size, 0)
      assert.isFalse(instance.events.some(({ _tag }) => _tag === "DrainFailed"))
    })
  )

  it.effect("F-s2: says what failed when nobody could be told, and serves through the wait all the same", () =>
    Effect.gen(function* () {
      const script = make()
      const instance = yield* start(script)
      script.behave.update = down
      assert.isAbove(yield* timeToClose(instance), 1000)
      const failed = instance.events.find((event) => event._tag === "DrainFailed")
      assert.include(failed?._tag === "DrainFailed" ? failed.error.message : "", "connection refused")
      assert.strictEqual(script.entries.size, 0)
    })
  )

  it.effect("F-s2: withdraws its entry even if telling of the draining dies of a defect", () =>
    Effect.gen(function* () {
      const script = make()
      const instance = yield* start(script)
      script.behave.update = dies
      yield* timeToClose(instance)
      assert.strictEqual(script.entries.size, 0)
    })
  )

  it.effect("F-n: a registration in flight is waited for and withdrawn when the server leaves", () =>
    Effect.gen(function* () {
      const script = make()
      script.behave.register = takes("500 millis")
      const instance = yield* start(script)
      const closing = yield* Effect.forkChild(instance.close)
      yield* pass("500 millis")
      assert.isTrue(script.entries.get("orders/a")?.endpoint.draining)
      yield* pass("1 second")
      yield* Fiber.join(closing)
      assert.strictEqual(script.entries.size, 0)
    })
  )

  it.effect("keeps the lease through a drain wait that is longer than its time to live", () =>
    Effect.gen(function* () {
      const script = make()
      const wait = { wait: Duration.seconds(30), withdrawal: Duration.seconds(2) }
      const instance = yield* start(script, {}, Layer.succeed(Policy.Drain, wait))
      assert.strictEqual(yield* timeToClose(instance), 30_000)
      const moments = script.calls.filter(({ op }) => op === "renew").map(({ at }) => at)
      assert.isTrue([0, ...moments].every((at, index) => (moments[index] ?? 30_000) - at < ttl))
      assert.isAbove(moments.length, 5)
    })
  )

  it.effect("goes on renewing when Policy.Reregister ends, and does not say that it gave up", () =>
    Effect.gen(function* () {
      const script = make()
      const instance = yield* start(script, {}, Layer.succeed(Policy.Reregister, Schedule.recurs(2)))
      script.all(down)
      yield* pass("1 minute")
      assert.deepStrictEqual(
        instance.lines.filter((line) => line.includes("gave up")),
        []
      )
      script.all(undefined)
      yield* pass("5 seconds")
      assert.strictEqual(yield* instance.tag, "Registered")
    })
  )

  it.effect("serves a drain wait to its end and withdraws, although a renewal in it dies of a defect", () =>
    Effect.gen(function* () {
      const script = make()
      const wait = { wait: Duration.seconds(30), withdrawal: Duration.seconds(2) }
      const instance = yield* start(script, {}, Layer.succeed(Policy.Drain, wait))
      script.behave.renew = dies
      assert.strictEqual(yield* timeToClose(instance), 30_000)
      assert.strictEqual(script.entries.size, 0)
    })
  )

  it.effect("renews no lease that has no end", () =>
    Effect.gen(function* () {
      const script = make()
      const endless = { ttl: Duration.infinity, renewAfter: 1 / 3 }
      let renewals = 0
      // Ends the test where it would be renewed for ever.
      script.behave.renew = () => (++renewals < 50 ? Effect.void : Effect.never)
      const instance = yield* start(script, {}, Layer.succeed(Policy.Lease, endless))
      yield* pass("1 hour")
      assert.deepStrictEqual([yield* instance.tag, renewals], ["Registered", 0])
    })
  )

  it.effect("asks again after a readiness that was interrupted", () =>
    Effect.gen(function* () {
      const script = make()
      const ready = yield* Ref.make<Effect.Effect<boolean>>(Effect.interrupt)
      const instance = yield* start(script, { ready: Effect.flatten(Ref.get(ready)) })
      yield* pass("1 second")
      yield* Ref.set(ready, Effect.succeed(true))
      yield* pass("10 seconds")
      assert.strictEqual(yield* instance.tag, "Registered")
    })
  )

  it.effect("leaves at once, and asks nothing of the registry, when it was never ready", () =>
    Effect.gen(function* () {
      const script = make()
      const instance = yield* start(script, { ready: Effect.succeed(false) })
      yield* pass("1 second")
      assert.strictEqual(yield* timeToClose(instance), 0)
      assert.deepStrictEqual([yield* instance.tag, script.calls], ["Withdrawn", []])
    })
  )

  for (const [what, more, before, leaving, says] of [
    ["was registered", {}, undefined, undefined, "withdrawn"],
    ["cannot be withdrawn", {}, undefined, down, "stopped; its entry stays until its lease ends"],
    [
      "is not heard when it leaves",
      {},
      undefined,
      hangsUninterruptibly,
      "stopped; its entry stays until its lease ends"
    ],
    ["was never ready", { ready: Effect.succeed(false) }, undefined, undefined, "stopped before it was registered"],
    ["was never taken", {}, down, down, "stopped before the registry confirmed its entry"],
    ["was never answered", {}, hangs, hangs, "stopped before the registry confirmed its entry"]
  ] as const) {
    it.effect(`the last line of one that ${what}: ${says}`, () =>
      Effect.gen(function* () {
        const script = make()
        script.all(before)
        const instance = yield* start(script, more)
        yield* pass("1 second")
        script.all(leaving)
        yield* timeToClose(instance)
        assert.strictEqual(instance.lines.at(-1), `Info ${says}`)
      })
    )
  }

  it.effect("killed by a defect it keeps its state, is reported, and goes on without a second registration", () =>
    Effect.gen(function* () {
      const script = make()
      const instance = yield* start(script, { id: "killed" })
      script.behave.renew = dies
      yield* pass(third + 50)
      assert.strictEqual(yield* instance.tag, "Renewing")
      assert.strictEqual(instance.lines.filter((line) => line.includes("died") && line.includes("injected")).length, 1)
      script.all(undefined)
      yield* pass("200 millis")
      assert.strictEqual(yield* instance.tag, "Registered")
      yield* pass("1 minute")
      assert.deepStrictEqual([yield* instance.tag, script.count("register")], ["Registered", 1])
      assert.isFalse(instance.states.some(({ _tag }) => _tag === "Lost"))
      const attributes = { service: "orders", instance: "killed", actor: "Registrar" }
      assert.strictEqual((yield* Metric.value(Metric.withAttributes(Metrics.restarts, attributes))).count, 1)
    })
  )

  it.effect("a defect in readiness or in the first registration does not end it either", () =>
    Effect.gen(function* () {
      const script = make()
      script.behave.register = dies
      const ready = yield* Ref.make<Effect.Effect<boolean>>(Effect.die("injected"))
      const instance = yield* start(script, { ready: Effect.flatten(Ref.get(ready)) })
      yield* pass("1 second")
      yield* Ref.set(ready, Effect.succeed(true))
      yield* pass("10 seconds")
      assert.strictEqual(yield* instance.tag, "Granting")
      script.all(undefined)
      yield* pass("10 seconds")
      assert.strictEqual(yield* instance.tag, "Registered")
    })
  )

  it.effect("a back end whose watch over the lease dies costs one restart, not the lease", () =>
    Effect.gen(function* () {
      const script = make()
      const instance = yield* start(script)
      yield* pass("1 second")
      yield* script.dieWatching
      yield* pass("1 minute")
      assert.deepStrictEqual([yield* instance.tag, script.count("register")], ["Registered", 1])
      assert.strictEqual(script.count("renew"), 18)
      assert.strictEqual(instance.lines.filter((line) => line.includes("died")).length, 1)
    })
  )

  it.effect("folding the encoded log of events gives every state again", () =>
    Effect.gen(function* () {
      const script = make()
      const instance = yield* start(script)
      const seen: Array<RegistrationState.RegistrationState> = []
      yield* instance.registrar.changes.pipe(
        Stream.runForEach((state) => Effect.sync(() => seen.push(state))),
        Effect.forkScoped
      )
      yield* pass("4 seconds")
      script.all(down)
      yield* pass("30 seconds")
      script.expire()
      script.all(undefined)
      yield* pass("30 seconds")
      script.dropEntries()
      yield* pass("10 seconds")
      yield* timeToClose(instance)
      const log = Schema.fromJsonString(Schema.Array(RegistrationState.Event))
      const text = yield* Schema.encodeEffect(log)(instance.events)
      const states = fold(yield* Schema.decodeEffect(log)(text))
      assert.deepStrictEqual(states.at(-1), yield* instance.registrar.state)
      assert.deepStrictEqual(
        seen,
        states.slice(1).filter((state, index) => state !== states[index])
      )
      assert.deepStrictEqual(
        new Set(states.map(({ _tag }) => _tag)),
        new Set(["Granting", "Registered", "Renewing", "Lost", "Draining", "Withdrawn"])
      )
    })
  )

  it.effect("spans, log lines and metrics carry the service and the instance", () =>
    Effect.gen(function* () {
      const script = make()
      const { spans, tracer } = Tracing.make()
      const annotations: Array<unknown> = []
      const observed = Layer.merge(
        Layer.succeed(Tracer.Tracer, tracer),
        Logger.layer([
          Logger.make(({ fiber }) => void annotations.push(fiber.getRef(References.CurrentLogAnnotations)))
        ])
      )
      const instance = yield* start(script, { id: "seen" }, observed)
      yield* pass(third)
      yield* timeToClose(instance)
      assert.deepStrictEqual(
        spans.map(({ name }) => name),
        ["register", "renew", "update", "revoke"].map((name) => `Registrar.${name}`)
      )
      for (const { attributes } of spans) {
        assert.deepStrictEqual(Object.fromEntries(attributes), {
          service: "orders",
          instance: "seen",
          registry: "scripted:"
        })
      }
      assert.isAbove(annotations.length, 2)
      for (const one of annotations) {
        assert.deepStrictEqual(one, { service: "orders", instance: "seen", registry: "scripted:" })
      }
      const attributes = { service: "orders", instance: "seen" }
      const renewed = Metric.withAttributes(Metrics.registrationEvents, { ...attributes, event: "Renewed" })
      assert.strictEqual((yield* Metric.value(renewed)).count, 1)
      assert.strictEqual((yield* Metric.value(Metric.withAttributes(Metrics.registered, attributes))).value, 0)
    })
  )
})

class Warm extends Context.Service<Warm, boolean>()("test/Warm") {}

/** The test's clock, ahead in monotonic time by as much as the test says: timers sleep on, as in a stopped process. */
const monotonicAheadBy = (offset: () => number) =>
  Effect.map(Clock.Clock, (clock): Clock.Clock => {
    const monotonicTimeNanosUnsafe = () => clock.monotonicTimeNanosUnsafe() + BigInt(offset()) * 1_000_000n
    return { ...clock, monotonicTimeNanosUnsafe, monotonicTimeNanos: Effect.sync(monotonicTimeNanosUnsafe) }
  })
