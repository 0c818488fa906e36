import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer, Schedule } from "effect"
import type { HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { Outcome } from "@muster/core"
import { Balancer, ConnectProbe, Discovery, HealthCheck } from "@muster/runtime"
import { ok, scripted, status } from "./fixtures/scriptedClient.ts"
import { endpoint, make, service, settle } from "./fixtures/ScriptedResolver.ts"
import { balanced, instance } from "./fixtures/staticService.ts"

const two = [instance("a", 1), instance("b", 2)]

/** A balancer over two instances that checks them like that; one request has made the service known. */
const checking = <A, E>(
  check: Layer.Layer<never>,
  run: (balancer: Balancer.Balancer["Service"]) => Effect.Effect<A, E, HttpClient.HttpClient>
) =>
  Effect.gen(function* () {
    const balancer = yield* Balancer.Balancer
    yield* balancer.use(service, () => Effect.void)
    return yield* run(balancer)
  }).pipe(Effect.provide(Layer.provide(balanced(scripted(ok).layer, two), check)))

const healthOf = (balancer: Balancer.Balancer["Service"], id: string) =>
  Effect.map(balancer.status(service), (all) => all.find(({ endpoint }) => endpoint.id === id)?.health._tag)

/** Requests until one was refused by this instance. */
const refuse = (balancer: Balancer.Balancer["Service"], id: string) =>
  Effect.gen(function* () {
    for (let n = 0; n < 100; n++) {
      if ((yield* healthOf(balancer, id)) === "Ejected") return
      yield* Effect.exit(
        balancer.use(service, (endpoint) => Effect.succeed(endpoint.id), {
          classify: (exit) => (exit._tag === "Success" && exit.value === id ? Outcome.refused : Outcome.succeeded)
        })
      )
    }
    return yield* Effect.die("never refused")
  })

const every = (check: HealthCheck.Options["check"]): Layer.Layer<never> =>
  Layer.succeed(HealthCheck.HealthCheck, {
    check,
    schedule: Schedule.spaced("1 second"),
    silence: Duration.seconds(10),
    within: Duration.seconds(1),
    concurrency: 10
  })

describe("HealthCheck", () => {
  it.effect("brings an instance back without a request", () =>
    checking(
      every(() => Effect.succeed(Outcome.succeeded)),
      (balancer) =>
        Effect.gen(function* () {
          yield* refuse(balancer, "a")
          yield* TestClock.adjust("3 seconds")
          assert.strictEqual(yield* healthOf(balancer, "a"), "Warming")
        })
    )
  )

  it.effect("without one, an instance that is out waits for a request", () =>
    checking(Layer.empty, (balancer) =>
      Effect.gen(function* () {
        yield* refuse(balancer, "a")
        yield* TestClock.adjust("3 seconds")
        assert.strictEqual(yield* healthOf(balancer, "a"), "Ejected")
      })
    )
  )

  it.effect("takes an idle instance out before a request meets it", () =>
    checking(
      every(({ id }) => Effect.succeed(id === "b" ? Outcome.refused : Outcome.succeeded)),
      (balancer) =>
        Effect.gen(function* () {
          yield* TestClock.adjust("12 seconds")
          assert.strictEqual(yield* healthOf(balancer, "b"), "Ejected")
          assert.strictEqual(yield* healthOf(balancer, "a"), "Healthy")
        })
    )
  )

  it.effect("does not begin on an instance that left while the round was busy with another", () =>
    Effect.gen(function* () {
      const script = make()
      const answer = yield* Deferred.make<Outcome.Outcome>()
      const asked: Array<string> = []
      const options: HealthCheck.Options = {
        check: ({ id }) =>
          Effect.andThen(
            Effect.sync(() => asked.push(id)),
            Deferred.await(answer)
          ),
        schedule: Schedule.spaced("1 second"),
        silence: Duration.seconds(10),
        within: Duration.minutes(1),
        concurrency: 1
      }
      yield* Effect.gen(function* () {
        const balancer = yield* Balancer.Balancer
        const first = yield* Effect.forkChild(balancer.use(service, () => Effect.void))
        yield* settle
        yield* script.reset(...["a", "b", "c"].map((name, index) => endpoint(name, { port: index + 1 })))
        yield* Fiber.join(first)
        yield* TestClock.adjust("12 seconds")
        assert.lengthOf(asked, 1)
        const [left, stayed] = ["a", "b", "c"].filter((name) => name !== asked[0])
        yield* script.remove(left)
        yield* Deferred.succeed(answer, Outcome.succeeded)
        yield* settle
        assert.deepStrictEqual(asked.slice(1), [stayed])
      }).pipe(
        Effect.provide(
          Balancer.layer.pipe(
            Layer.provide([
              Discovery.layer.pipe(Layer.provide(script.layer)),
              Layer.succeed(HealthCheck.HealthCheck, options)
            ])
          )
        )
      )
    })
  )

  it.effect("a check that does not answer in time failed, and one that dies stops nobody", () =>
    checking(
      every(({ id }) => (id === "a" ? Effect.die("mistake") : Effect.never)),
      (balancer) =>
        Effect.gen(function* () {
          yield* TestClock.adjust("30 seconds")
          assert.strictEqual(yield* healthOf(balancer, "a"), "Healthy")
          assert.include(["Ejected", "Probing"], yield* healthOf(balancer, "b"))
        })
    )
  )

  it.effect.each([
    { how: "throws", check: () => Effect.runSync(Effect.die("mistake")) },
    { how: "is interrupted", check: () => Effect.interrupt }
  ])("a check that $how costs nothing of what is known", ({ check }) =>
    checking(every(check), (balancer) =>
      Effect.gen(function* () {
        yield* refuse(balancer, "a")
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(yield* healthOf(balancer, "a"), "Ejected")
        assert.strictEqual(yield* healthOf(balancer, "b"), "Healthy")
      })
    )
  )

  it.effect("believes nothing of a connection that is neither accepted nor refused in time", () =>
    checking(
      Layer.mergeAll(
        Layer.succeed(HealthCheck.HealthCheck, HealthCheck.connecting),
        Layer.succeed(ConnectProbe.ConnectProbe, ({ id }) =>
          id === "b" ? Effect.delay(Effect.succeed("unknown"), "2 seconds") : Effect.succeed("accepted")
        )
      ),
      (balancer) =>
        Effect.gen(function* () {
          yield* TestClock.adjust("40 seconds")
          assert.strictEqual(yield* healthOf(balancer, "b"), "Healthy")
        })
    )
  )

  it.effect("connects, and believes only a refusal", () =>
    Effect.forEach(["accepted", "refused", "unknown"] as const, (answer) =>
      checking(
        Layer.mergeAll(
          Layer.succeed(HealthCheck.HealthCheck, HealthCheck.connecting),
          Layer.succeed(ConnectProbe.ConnectProbe, ({ id }) => Effect.succeed(id === "b" ? answer : "accepted"))
        ),
        (balancer) =>
          Effect.gen(function* () {
            yield* TestClock.adjust("14 seconds")
            assert.strictEqual(yield* healthOf(balancer, "b"), answer === "refused" ? "Ejected" : "Healthy", answer)
          })
      )
    )
  )

  it.effect("asks a path, and judges the answer as that to a request", () => {
    const { asked, layer } = scripted((port) => (port === 2 ? status(500) : status(404)))
    return checking(
      HealthCheck.layerGet("/healthz", { silence: Duration.zero }).pipe(Layer.provide(layer)),
      (balancer) =>
        Effect.gen(function* () {
          yield* TestClock.adjust("8 seconds")
          assert.strictEqual(asked[0].url.replace(/\d\/healthz/, ""), "http://127.0.0.1:")
          assert.strictEqual(yield* healthOf(balancer, "a"), "Healthy", "it answers, whatever it says")
          assert.include(["Ejected", "Probing"], yield* healthOf(balancer, "b"))
        })
    )
  })

  it.effect.each([
    { how: "in plain text, unless told otherwise", options: {}, scheme: "http" },
    { how: "over TLS where it is told to", options: { scheme: "https" }, scheme: "https" }
  ] as const)("asks as the balanced client does, for the service: $how", ({ options, scheme }) => {
    const { asked, layer } = scripted(ok)
    return checking(
      HealthCheck.layerGet("/healthz", { silence: Duration.zero, ...options }).pipe(Layer.provide(layer)),
      () =>
        Effect.gen(function* () {
          yield* TestClock.adjust("8 seconds")
          const all = new Set(asked.map(({ host, url }) => `${url} for ${host}`))
          assert.deepStrictEqual(
            all,
            new Set([1, 2].map((port) => `${scheme}://127.0.0.1:${port}/healthz for ${service}`))
          )
        })
    )
  })
})
