import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
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
  Scheduler,
  Stream
} from "effect"
import { TestClock } from "effect/testing"
import { Endpoint, Outcome, Policy, type Roster } from "@muster/core"
import { Balancer, type BalancerError, ConnectProbe, Discovery } from "@muster/runtime"
import { endpoint, make, service, settle } from "./fixtures/ScriptedResolver.ts"

type Script = ReturnType<typeof make>
type Use = Balancer.Balancer["Service"]

/** Runs a scenario against a scripted registry: real discovery, real balancer, virtual time. */
const scenario = <E>(
  run: (script: Script, balancer: Use, log: Log) => Effect.Effect<void, E>,
  policies: Layer.Layer<never> = Layer.empty,
  around: Layer.Layer<Discovery.Discovery, never, Discovery.Discovery> = Layer.effect(
    Discovery.Discovery,
    Discovery.Discovery
  )
) => {
  const script = make()
  const log: Log = { events: [], lines: [] }
  const logger = Logger.make(({ message }) => log.lines.push(String(message)))
  const layer = Balancer.layer.pipe(
    Layer.provide(around),
    Layer.provide(Discovery.layer),
    Layer.provide([script.layer, policies, Layer.succeed(ConnectProbe.ConnectProbe, () => Effect.succeed("unknown"))]),
    Layer.provideMerge(Logger.layer([logger]))
  )
  return Effect.gen(function* () {
    const balancer = yield* Balancer.Balancer
    yield* Effect.forkScoped(Stream.runForEach(balancer.events, (event) => Effect.sync(() => log.events.push(event))))
    yield* settle
    yield* run(script, balancer, log)
  }).pipe(Effect.scoped, Effect.provide(layer), Effect.provideService(Metric.MetricRegistry, new Map()))
}

interface Log {
  readonly events: Array<Roster.Event>
  readonly lines: Array<string>
}

const two = [endpoint("a", { port: 1 }), endpoint("b", { port: 2 })]
const three = [...two, endpoint("c", { port: 3 })]

const port = (endpoint: Endpoint.Endpoint) => Effect.succeed(endpoint.port)

/** Makes the service known: the first request opens the watch, the registry answers, the request is answered. */
const opened = (script: Script, balancer: Use, ...endpoints: ReadonlyArray<Endpoint.Endpoint>) =>
  Effect.gen(function* () {
    const first = yield* Effect.forkChild(balancer.use(service, port))
    yield* settle
    yield* script.reset(...endpoints)
    yield* Fiber.join(first)
  })

/** Starts a request and lets it get as far as it can. */
const started = <A, E>(effect: Effect.Effect<A, E>) => Effect.tap(Effect.forkChild(effect), settle)

const inFlight = (balancer: Use) =>
  Effect.map(balancer.status(service), (all) => all.reduce((sum, one) => sum + one.requestsInFlight, 0))

const healthOf = (balancer: Use, id: string) =>
  Effect.map(balancer.status(service), (all) => all.find(({ endpoint }) => endpoint.id === id)?.health._tag)

const reason = (error: BalancerError.BalancerError) => error.reason._tag

/** Picks on the given instance only: anything else ends at once. */
const onlyOn =
  <E>(id: string, f: Effect.Effect<void, E>) =>
  (endpoint: Endpoint.Endpoint): Effect.Effect<void, E> =>
    endpoint.id === id ? f : Effect.void

const repeat = (times: number) => Array.from({ length: times }, (_, index) => index)

const Customer = Context.Reference<string>("test/Customer", { defaultValue: () => "nobody" })

const named = <R>(around: Context.Context<R>) =>
  Context.add(around, Customer, `known as ${Context.get(around, Customer)}`)

const nothing = () => {
  throw new Error("nothing to provide")
}

const refusing: Balancer.Options<unknown, unknown> = { classify: () => ({ _tag: "Refused" }) satisfies Outcome.Outcome }

const counted = (name: string) =>
  Effect.map(Metric.snapshot, (all) =>
    all.flatMap(({ attributes, id, state }) =>
      id === name && "count" in state ? [`${attributes?.["instance"]} ${attributes?.["outcome"]} ${state.count}`] : []
    )
  )

/** The ejections so far, and how many are out. */
const out = Effect.map(Metric.snapshot, (all) =>
  ["muster_ejections", "muster_ejected_endpoints"].map((name) => {
    const state = all.find(({ id }) => id === name)?.state
    return state === undefined ? 0 : "count" in state ? state.count : "value" in state ? state.value : undefined
  })
)

describe("Balancer", () => {
  it.effect("gives each request an instance of the service", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        yield* opened(script, balancer, ...three)
        const ports = yield* Effect.forEach(repeat(100), () => balancer.use(service, port))
        assert.deepStrictEqual([...new Set(ports)].toSorted(ascending), [1, 2, 3])
        assert.strictEqual(yield* inFlight(balancer), 0)
      })
    )
  )

  it.effect("provides an attempt with what is around it, and with what it is told to add, whoever asked before", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        yield* opened(script, balancer, two[0])
        const own = Effect.contextWith((context: Context.Context<never>) => Effect.succeed(context))
        const asks = (customer: string, add = "") =>
          balancer
            .use(service, () => own, { provide: add === "" ? undefined : named })
            .pipe(
              Effect.map((context) => Context.get(context, Customer)),
              Effect.provideService(Customer, customer)
            )
        const asked = yield* Effect.all([asks("alice"), asks("bob"), asks("alice", "named"), asks("bob", "named")])
        assert.deepStrictEqual(asked, ["alice", "bob", "known as alice", "known as bob"])

        const asksAgain = Effect.replicateEffect(
          balancer.use(service, () => own),
          2
        )
        const [first, second] = yield* asksAgain
        assert.strictEqual(first, second, "made once for who asks again")
      })
    )
  )

  it.effect("leaves nothing in flight where it cannot be said what an attempt is provided with", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        yield* opened(script, balancer, two[0])
        const exit = yield* Effect.exit(balancer.use(service, port, { provide: nothing }))
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        assert.strictEqual(yield* inFlight(balancer), 0)
        assert.strictEqual(yield* balancer.use(service, port), 1)
      })
    )
  )

  it.effect("counts who is taken out for failing, and shows who is out now: nobody who has left", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        yield* opened(script, balancer, ...three)
        yield* Effect.forEach(repeat(50), () =>
          Effect.exit(
            balancer.use(service, onlyOn("b", Effect.fail("refused")), {
              classify: (exit) => (Exit.isSuccess(exit) ? Outcome.succeeded : Outcome.refused)
            })
          )
        )
        assert.deepStrictEqual(yield* out, [1, 1])
        yield* TestClock.adjust("2 seconds")
        const probe = yield* started(balancer.use(service, onlyOn("b", Effect.never), { isRepeatable: true }))
        assert.strictEqual(yield* healthOf(balancer, "b"), "Probing")
        yield* Fiber.interrupt(probe)
        assert.strictEqual(yield* healthOf(balancer, "b"), "Ejected")
        assert.deepStrictEqual(yield* out, [1, 1])
        yield* script.remove("b")
        yield* settle
        assert.deepStrictEqual(yield* out, [1, 0])
      })
    )
  )

  it.effect("waits for the first instance within its patience", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        const request = yield* started(balancer.use(service, port))
        yield* script.reset()
        yield* TestClock.adjust("500 millis")
        yield* script.put(endpoint("a", { port: 7 }))
        assert.strictEqual(yield* Fiber.join(request), 7)
      })
    )
  )

  it.effect("F-s12: fails typed, naming the service, when nobody is registered within the patience of the caller", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        const request = yield* started(Effect.flip(balancer.use(service, port)))
        yield* script.reset()
        yield* TestClock.adjust("999 millis")
        assert.isUndefined(request.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        const error = yield* Fiber.join(request)
        assert.strictEqual(reason(error), "NoInstance")
        assert.match(error.message, /^orders: the registry lists no instance within 1s/)
        assert.isTrue(error.reason._tag === "NoInstance" && error.reason.excluded.length === 0)
      })
    )
  )

  it.effect("F-s12: fails at once when the caller will not wait", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        const now = Effect.provideService(Policy.WaitForInstance, Duration.zero)
        const unknown = yield* Effect.flip(balancer.use(service, port).pipe(now))
        assert.strictEqual(reason(unknown), "NotLoaded")
        assert.include(unknown.message, "orders")
        yield* settle
        yield* script.reset()
        assert.strictEqual(reason(yield* Effect.flip(balancer.use(service, port).pipe(now))), "NoInstance")
        yield* script.put(...two)
        assert.include([1, 2], yield* balancer.use(service, port).pipe(now))
      })
    )
  )

  it.effect("does not fail a caller that will not wait when discovery knows the service already", () =>
    scenario(
      (script, balancer) =>
        Effect.gen(function* () {
          yield* script.reset(...two)
          const now = Effect.provideService(Policy.WaitForInstance, Duration.zero)
          assert.include([1, 2], yield* balancer.use(service, port).pipe(now))
        }),
      Layer.empty,
      // Somebody else has subscribed, and subscribing takes a few turns of the event loop.
      Layer.effect(
        Discovery.Discovery,
        Effect.gen(function* () {
          const discovery = yield* Discovery.Discovery
          yield* discovery.subscribe(service)
          return { ...discovery, subscribe: (name) => Effect.andThen(settle, discovery.subscribe(name)) }
        })
      )
    )
  )

  it.effect("F-c2: without any data it fails typed and says what the registry said", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        const request = yield* started(Effect.flip(balancer.use(service, port)))
        yield* script.fail("connection refused")
        yield* TestClock.adjust("1 seconds")
        const error = yield* Fiber.join(request)
        assert.strictEqual(reason(error), "NotLoaded")
        assert.include(error.message, "connection refused")
      })
    )
  )

  it.effect("fails typed once the freeze policy has ended, and starts over with the next request", () =>
    scenario(
      (script, balancer) =>
        Effect.gen(function* () {
          yield* opened(script, balancer, ...two)
          yield* script.fail()
          assert.include([1, 2], yield* balancer.use(service, port))
          yield* TestClock.adjust("100 millis")
          yield* script.fail()
          yield* settle
          const request = yield* started(balancer.use(service, port))
          yield* script.fail("still down")
          yield* TestClock.adjust("100 millis")
          yield* script.fail("still down")
          yield* TestClock.adjust("1 seconds")
          const error = yield* Effect.flip(Fiber.join(request))
          assert.strictEqual(reason(error), "RegistryFailed")
          assert.include(error.message, "still down")
          const again = yield* started(balancer.use(service, port))
          yield* script.reset(...two)
          assert.include([1, 2], yield* Fiber.join(again))
        }),
      Layer.succeed(Policy.Rewatch, Schedule.max([Schedule.spaced("100 millis"), Schedule.recurs(1)]))
    )
  )

  it.effect("F-s4: an attempt has the balancer's own deadline, and its expiry is a failure of the instance", () =>
    scenario((script, balancer, log) =>
      Effect.gen(function* () {
        yield* opened(script, balancer, ...two)
        const requests = yield* Effect.forEach(repeat(40), () =>
          Effect.forkChild(
            Effect.result(balancer.use(service, ({ id }) => (id === "a" ? Effect.never : Effect.sleep("1 seconds"))))
          )
        )
        yield* settle
        yield* TestClock.adjust("2 seconds")
        const results = yield* Effect.forEach(requests, Fiber.join)
        const errors = results.flatMap((result) => (result._tag === "Failure" ? [result.failure] : []))
        assert.isAbove(errors.length, 4)
        for (const error of errors) assert.strictEqual(reason(error), "DeadlineExceeded")
        assert.match(errors[0].message, /orders: a \(127\.0\.0\.1:1\) did not answer within 2s/)
        assert.strictEqual(yield* healthOf(balancer, "a"), "Ejected")
        assert.strictEqual(yield* inFlight(balancer), 0)
        yield* settle
        assert.isTrue(log.lines.some((line) => /^127\.0\.0\.1:1 is out for .* failures in a row/.test(line)))
      })
    )
  )

  it.effect("F-s4: a caller's own timeout counts against a hanging instance, but is never a failure", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        yield* opened(script, balancer, ...two)
        let hung = 0
        const hangs = onlyOn(
          "a",
          Effect.suspend(() => ((hung += 1), Effect.never))
        )
        for (let round = 0; round < 20; round++) {
          const requests = yield* Effect.forEach(repeat(10), () =>
            Effect.forkChild(balancer.use(service, hangs).pipe(Effect.timeoutOption("500 millis")))
          )
          yield* settle
          yield* TestClock.adjust("500 millis")
          yield* Effect.forEach(requests, Fiber.join)
        }
        assert.isAtLeast(hung, 1)
        assert.isAtMost(hung, 20, "of 100 that would be fair")
        assert.strictEqual(yield* healthOf(balancer, "a"), "Healthy")
        assert.deepStrictEqual(
          (yield* counted("muster_requests")).filter((line) => line.startsWith("a") && !line.includes("succeeded")),
          [`a interrupted ${hung}`]
        )
      })
    )
  )

  it.effect("F-c1: a request that is interrupted at any point leaves nothing in flight and is no failure", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        const early = yield* started(balancer.use(service, port))
        yield* Fiber.interrupt(early)
        yield* opened(script, balancer, ...three)
        // Every step of the request is a point at which it can be interrupted.
        for (const ops of [2, 3, 4]) {
          for (const steps of repeat(60)) {
            const request = yield* balancer
              .use(service, () => Effect.yieldNow)
              .pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, ops), Effect.forkChild)
            for (let n = 0; n < steps; n++) yield* Effect.yieldNow
            yield* Fiber.interrupt(request)
          }
        }
        assert.strictEqual(yield* inFlight(balancer), 0)
        for (const { health } of yield* balancer.status(service)) assert.strictEqual(health._tag, "Healthy")
        assert.deepStrictEqual(
          (yield* counted("muster_requests")).filter((line) => line.includes("failed")),
          []
        )
      })
    )
  )

  it.effect("takes an instance out that refuses, keeps it out while the list changes, and tells discovery", () =>
    scenario((script, balancer, log) =>
      Effect.gen(function* () {
        yield* opened(script, balancer, ...three)
        // All three vanish at once, so the guard holds them; the refused one leaves.
        yield* script.remove("a", "b", "c")
        const seen = yield* Effect.forEach(repeat(60), () =>
          balancer.use(service, (endpoint) => Effect.succeed(endpoint.id))
        )
        assert.strictEqual(new Set(seen).size, 3)
        yield* balancer.use(service, port, refusing)
        yield* settle
        assert.strictEqual((yield* balancer.status(service)).length, 2)
        yield* settle
        assert.deepStrictEqual(
          log.events.map((event) => (event._tag === "HealthChanged" ? event.health._tag : event._tag)),
          ["Joined", "Joined", "Joined", "Ejected", "Left"]
        )
      })
    )
  )

  it.effect("remembers an ejection across changes of the list", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        yield* opened(script, balancer, ...three)
        yield* Effect.forEach(repeat(60), () =>
          balancer.use(service, Effect.succeed, {
            classify: (exit) => ({ _tag: exit._tag === "Success" && exit.value.id === "a" ? "Refused" : "Succeeded" })
          })
        )
        assert.strictEqual(yield* healthOf(balancer, "a"), "Ejected")
        for (const n of repeat(5)) {
          yield* script.put(endpoint(`x${n}`, { port: 10 + n }), endpoint("a", { port: 100 + n }))
          assert.strictEqual(yield* healthOf(balancer, "a"), "Ejected")
        }
      })
    )
  )

  it.effect("tries elsewhere with `after`, until nobody is left or the budget is spent", () =>
    scenario(
      (script, balancer) =>
        Effect.gen(function* () {
          yield* opened(script, balancer, ...two)
          const attempts: Array<Balancer.Attempt> = []
          const keep = (endpoint: Endpoint.Endpoint, attempt: Balancer.Attempt) =>
            Effect.sync(() => {
              attempts.push(attempt)
              return endpoint.port
            })
          const first = yield* balancer.use(service, keep)
          const second = yield* balancer.use(service, keep, { after: attempts })
          assert.notStrictEqual(first, second)
          const third = yield* Effect.flip(balancer.use(service, keep, { after: attempts }))
          assert.isTrue(third.reason._tag === "AllExcluded" && third.reason.excluded.length === 2)
          assert.strictEqual(
            third.message,
            "orders: there is no instance left to try: " +
              "a (127.0.0.1:1) was tried (succeeded), b (127.0.0.1:2) was tried (succeeded)"
          )
          // What was sent to nobody has cost nothing.
          yield* balancer.use(service, keep, { after: attempts.slice(1, 2) })
          const spent = yield* Effect.flip(balancer.use(service, keep, { after: attempts.slice(1, 2) }))
          assert.strictEqual(reason(spent), "BudgetSpent")
        }),
      Layer.succeed(Policy.RetryBudget, { ratio: 0, perSecond: 0.4, window: Duration.seconds(10) })
    )
  )

  it.effect("explains who is in and out, and its shares are those of the picks that were made", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        assert.isUndefined(yield* balancer.explain(service))
        yield* opened(script, balancer, ...three, endpoint("d", { port: 4, draining: true }))
        const picked = new Map<string, number>()
        const used = ({ id }: Endpoint.Endpoint) => Effect.sync(() => picked.set(id, (picked.get(id) ?? 0) + 1))
        yield* Effect.forEach(repeat(500), () => balancer.use(service, used), { discard: true })
        const explanation = yield* balancer.explain(service)
        // The first request, which opened the watch, is among them.
        const total = explanation?.instances.reduce((sum, { picks }) => sum + picks, 0)
        assert.strictEqual(total, 501)
        for (const { id, isIn, picks, share, standing } of explanation?.instances ?? []) {
          assert.isAtMost(picks - (picked.get(id) ?? 0), 1)
          assert.strictEqual(share, picks / 501)
          assert.deepStrictEqual([isIn, standing._tag], id === "d" ? [false, "Draining"] : [true, "Well"])
        }
        assert.strictEqual(explanation?.instances.length, 4)
        assert.isAtLeast(explanation?.choices.length ?? 0, 50)
        yield* script.remove("a", "b")
        const held = yield* balancer.explain(service)
        assert.deepStrictEqual(Object.fromEntries(held?.instances.map(({ id, isHeld }) => [id, isHeld]) ?? []), {
          a: true,
          b: true,
          c: false,
          d: false
        })
        yield* script.put(endpoint("a", { port: 1, startedAt: 5 }))
        const again = (yield* balancer.explain(service))?.instances.find(({ id }) => id === "a")
        assert.strictEqual(again?.picks, 0, "another process is another instance")
      })
    )
  )

  it.effect("keeps a held request in flight until it is let go", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        yield* opened(script, balancer, ...two)
        const release = yield* balancer.use(service, (_, attempt) => Effect.sync(() => attempt.hold()))
        assert.strictEqual(yield* inFlight(balancer), 1)
        release(false)
        release(false)
        assert.strictEqual(yield* inFlight(balancer), 0)
        yield* Effect.exit(
          balancer.use(service, (_, attempt) => Effect.andThen(Effect.sync(attempt.hold), Effect.fail("x")))
        )
        assert.strictEqual(yield* inFlight(balancer), 0)
      })
    )
  )

  it.effect("releases a service that nobody uses, but not while a request is in flight", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        yield* opened(script, balancer, ...two)
        assert.strictEqual(script.active.size, 1)
        const release = yield* balancer.use(service, (_, attempt) => Effect.sync(() => attempt.hold()))
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual((yield* balancer.status(service)).length, 2)
        release(false)
        yield* TestClock.adjust("60 seconds")
        assert.strictEqual((yield* balancer.status(service)).length, 0)
        yield* TestClock.adjust("60 seconds")
        assert.strictEqual(script.active.size, 0)
        assert.deepStrictEqual(yield* counted("muster_requests"), [])
        yield* opened(script, balancer, ...two)
      })
    )
  )

  it.effect("F-c5: 1 000 services that were used once leave no watch behind", () =>
    scenario(
      (script, balancer) =>
        Effect.gen(function* () {
          const now = Effect.provideService(Policy.WaitForInstance, Duration.zero)
          for (const n of repeat(1000)) {
            yield* Effect.exit(balancer.use(Endpoint.ServiceName.make(`service-${n}`), port).pipe(now))
          }
          yield* settle
          assert.strictEqual(script.active.size, 1000)
          yield* TestClock.adjust("2 minutes")
          assert.strictEqual(script.active.size, 0)
        }),
      // A thousand watches that are opened again and again are another matter, and slow to simulate.
      Layer.succeed(Policy.OpenDeadline, hour)
    )
  )

  it.effect("an actor killed by a defect keeps its candidates, is reported, and runs again", () => {
    const poisoned = { deaths: 0, next: false }
    const around = Layer.effect(
      Discovery.Discovery,
      Effect.map(Discovery.Discovery, (discovery) =>
        Discovery.Discovery.of({
          ...discovery,
          subscribe: (name) =>
            Effect.map(discovery.subscribe(name), (subscription) => ({
              ...subscription,
              changes: Stream.mapEffect(subscription.changes, (state) =>
                Effect.suspend(() => {
                  if (!poisoned.next) return Effect.succeed(state)
                  poisoned.deaths++
                  return Effect.die("injected")
                })
              )
            }))
        })
      )
    )
    return scenario(
      (script, balancer, log) =>
        Effect.gen(function* () {
          yield* opened(script, balancer, ...two)
          poisoned.next = true
          yield* script.put(endpoint("c", { port: 3 }))
          yield* TestClock.adjust("1 seconds")
          assert.isAbove(poisoned.deaths, 1)
          const ports = yield* Effect.forEach(repeat(50), () => balancer.use(service, port))
          assert.deepStrictEqual([...new Set(ports)].toSorted(ascending), [1, 2])
          assert.isTrue(log.lines.some((line) => line.includes("the balancer died") && line.includes("injected")))
          const restarts = (yield* Metric.snapshot).find(
            ({ attributes, id }) => id === "muster_actor_restarts" && attributes?.["actor"] === "Balancer"
          )
          assert.strictEqual(
            restarts !== undefined && "count" in restarts.state ? restarts.state.count : 0,
            poisoned.deaths
          )
          poisoned.next = false
          yield* TestClock.adjust("10 seconds")
          const after = yield* Effect.forEach(repeat(100), () => balancer.use(service, port))
          assert.deepStrictEqual([...new Set(after)].toSorted(ascending), [1, 2, 3])
        }),
      Layer.empty,
      around
    )
  })

  it.effect("counts attempts by instance and outcome, and forgets an instance that left", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        yield* opened(script, balancer, endpoint("a"))
        yield* Effect.exit(balancer.use(service, () => Effect.fail("broken")))
        assert.deepStrictEqual((yield* counted("muster_requests")).toSorted(), ["a failed 1", "a succeeded 1"])
        yield* script.put(endpoint("b", { port: 81 }))
        yield* script.remove("a")
        assert.deepStrictEqual(yield* counted("muster_requests"), [])
      })
    )
  )

  it.effect.each([
    { how: "arrives whole", isBroken: false, counts: ["a succeeded 2"] },
    { how: "breaks off", isBroken: true, counts: ["a failed 1", "a succeeded 1"] }
  ])("counts an attempt whose answer $how once, when the answer is over", ({ counts, isBroken }) =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        yield* opened(script, balancer, endpoint("a"))
        const release = yield* balancer.use(service, (_, attempt) => Effect.sync(attempt.hold))
        assert.deepStrictEqual(yield* counted("muster_requests"), ["a succeeded 1"])
        release(isBroken)
        release(isBroken)
        assert.deepStrictEqual((yield* counted("muster_requests")).toSorted(), counts)
      })
    )
  )

  it.effect("counts an attempt once whose answer is over before it is", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        yield* opened(script, balancer, endpoint("a"))
        const early = (isBroken: boolean) => balancer.use(service, (_, { hold }) => Effect.sync(() => hold()(isBroken)))
        yield* early(false)
        assert.deepStrictEqual(yield* counted("muster_requests"), ["a succeeded 2"])
        yield* balancer.use(service, (_, { hold }) => {
          const release = hold()
          release(true)
          release(true)
          return Effect.void
        })
        assert.deepStrictEqual((yield* counted("muster_requests")).toSorted(), ["a failed 1", "a succeeded 2"])
        yield* Effect.exit(
          balancer.use(service, (_, { hold }) => {
            hold()(true)
            return Effect.fail("broken")
          })
        )
        assert.deepStrictEqual((yield* counted("muster_requests")).toSorted(), ["a failed 2", "a succeeded 2"])
        assert.deepStrictEqual(
          (yield* balancer.status(service)).map(({ requestsInFlight }) => requestsInFlight),
          [0]
        )
      })
    )
  )

  it.effect("names the service and the instance in spans and logs", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        yield* opened(script, balancer, endpoint("a"))
        const [span, annotations] = yield* balancer.use(service, () =>
          Effect.withSpan(Effect.all([Effect.currentSpan, References.CurrentLogAnnotations]), "inside")
        )
        assert.strictEqual(span.attributes.get("muster.instance"), "a")
        assert.strictEqual(span.attributes.get("muster.service"), "orders")
        assert.strictEqual(annotations["muster.instance"], "a")
      })
    )
  )

  it.effect("F-c1: an attempt whose outcome cannot be told, because `classify` dies, is not in flight for ever", () =>
    scenario((script, balancer) =>
      Effect.gen(function* () {
        yield* opened(script, balancer, ...two)
        const request = balancer.use(service, port, { classify: () => assert.fail("cannot tell") })
        for (const _ of repeat(20)) yield* Effect.exit(request)
        assert.strictEqual(yield* inFlight(balancer), 0)
      })
    )
  )

  for (const idleAfter of [0, 1, 20]) {
    it.effect(`a service that is kept for ${idleAfter} ms is kept for whoever has to wait for it`, () =>
      scenario(
        (script, balancer) =>
          Effect.gen(function* () {
            for (const _ of repeat(2)) {
              const request = yield* started(balancer.use(service, port))
              yield* TestClock.adjust("900 millis")
              yield* script.reset(...two)
              yield* Fiber.join(request)
              yield* TestClock.adjust("3 seconds")
              assert.deepStrictEqual(yield* balancer.status(service), [])
            }
          }),
        Layer.succeed(Policy.IdleAfter, Duration.millis(idleAfter))
      )
    )
  }

  it.effect("fails typed, and does not hang, when it is asked after it was released", () =>
    Effect.gen(function* () {
      const script = make()
      const balancer = yield* Effect.scoped(
        Effect.map(
          Layer.build(Balancer.layer.pipe(Layer.provide(Discovery.layer), Layer.provide(script.layer))),
          Context.get(Balancer.Balancer)
        )
      )
      const error = yield* Effect.flip(balancer.use(service, port))
      assert.strictEqual(reason(error), "NotLoaded")
      assert.include(error.message, "released")
    })
  )

  it.effect("a patience that outlasts the idle time still gets its instance", () =>
    scenario(
      (script, balancer) =>
        Effect.gen(function* () {
          const request = yield* started(
            balancer.use(service, port).pipe(Effect.provideService(Policy.WaitForInstance, Duration.minutes(10)))
          )
          yield* script.reset()
          yield* TestClock.adjust("5 minutes")
          yield* script.reset(endpoint("a", { port: 9 }))
          assert.strictEqual(yield* Fiber.join(request), 9)
        }),
      Layer.succeed(Policy.FullRead, { after: [hour, hour], early: [hour, hour] })
    )
  )
})

const hour = Duration.hours(1)

const ascending = (a: number, b: number) => a - b
