/**
 * What takes time, in virtual time: the scripted API server without a socket.
 */
import { Array, Context, Duration, Effect, Exit, Layer, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { assert, describe, it } from "@effect/vitest"
import { DiscoveryState, Endpoint, Policy, Resolver, Snapshot } from "@muster/core"
import * as SharedResolver from "../src/internal/kubernetes/resolver.ts"
import { ended, leaving, notReady, pod, ready, slice } from "./fixtures/endpointSlices.ts"
import { follow } from "./fixtures/Follower.ts"
import * as KubernetesApi from "./fixtures/KubernetesApi.ts"

const resolver = (api: KubernetesApi.KubernetesApi, user?: string) =>
  Layer.effect(
    Resolver.Resolver,
    SharedResolver.make(
      { client: Effect.succeed(KubernetesApi.inProcess(api, user)), forget: Effect.void },
      { namespace: "shop", ports: {} }
    )
  )

const two = slice("orders-1", [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")])
const three = slice("orders-1", [pod("a", "10.0.0.1"), pod("b", "10.0.0.2"), pod("c", "10.0.0.3")])

/** An API server with two pods of `orders`, and a resolver on it. */
const start = Effect.fnUntraced(function* () {
  const api = KubernetesApi.make()
  api.write("shop", two)
  const context = yield* Layer.build(resolver(api))
  return {
    api,
    watch: (name: string) => Effect.provide(follow(name), context),
    /** The verbs of the requests since the last time. */
    asked: () => api.asked.splice(0).map(({ verb }) => verb)
  }
})

/** Lets everything happen that is due by now. */
const settle = Effect.gen(function* () {
  for (let turns = 0; turns < 200; turns++) yield* Effect.yieldNow
})
const pass = (duration: Duration.Input) => Effect.andThen(TestClock.adjust(duration), settle)

/** The same, with a follower of `orders` that knows its two pods. */
const started = Effect.gen(function* () {
  const { api, asked, watch } = yield* start()
  const orders = yield* watch("orders")
  yield* settle
  assert.deepStrictEqual(orders.addresses(), both)
  assert.deepStrictEqual(asked(), ["list", "watch"])
  return { api, asked, watch, orders, tags: () => orders.current().changes.map(({ _tag }) => _tag) }
})

const both = ["10.0.0.1:8080", "10.0.0.2:8080"]

const all = [...both, "10.0.0.3:8080"]

describe("Kubernetes, virtual time", () => {
  it.effect("makes no request in an idle hour beyond renewing its watch where it ended", () =>
    Effect.gen(function* () {
      const { api, asked, orders } = yield* started
      yield* pass("1 hour")
      const later = asked()
      assert.isTrue(later.every((verb) => verb === "watch"))
      assert.isAtLeast(later.length, 60 / 9 - 1)
      assert.isAtMost(later.length, 60 / 4)
      assert.strictEqual(api.watches(), 1)
      assert.deepStrictEqual(orders.current().errors, [])
      assert.strictEqual(orders.current().changes.length, 1)
      api.write("shop", three)
      yield* settle
      assert.deepStrictEqual(orders.addresses(), all)
    })
  )

  it.effect("begins with no instances where there is no service yet, and follows it when it comes", () =>
    Effect.gen(function* () {
      const { api, watch } = yield* start()
      const bills = yield* watch("bills")
      yield* settle
      assert.deepStrictEqual([bills.current().isLive, bills.addresses()], [true, []])
      api.write("shop", slice("bills-1", [pod("z", "10.0.1.1")], { service: "bills" }))
      yield* settle
      assert.deepStrictEqual(bills.addresses(), ["10.0.1.1:8080"])
      api.remove("shop", "bills-1")
      yield* settle
      assert.deepStrictEqual(bills.addresses(), [])
    })
  )

  it.effect("follows all services of a namespace by one watch, and lists a new one's slices alone", () =>
    Effect.gen(function* () {
      const { api, asked, orders, watch } = yield* started
      api.write("shop", slice("bills-1", [pod("z", "10.0.1.1")], { service: "bills" }))
      const others = yield* Effect.forEach(["bills", "bills.shop", "orders.shop.svc.cluster.local"], watch)
      yield* settle
      assert.deepStrictEqual(
        others.map((one) => one.addresses()),
        [["10.0.1.1:8080"], ["10.0.1.1:8080"], both]
      )
      assert.deepStrictEqual(
        api.asked.map(({ query }) => query["labelSelector"]),
        ["bills", "bills", "orders"].map((name) => `kubernetes.io/service-name=${name}`)
      )
      assert.deepStrictEqual(asked(), ["list", "list", "list"])
      assert.strictEqual(api.watches(), 1)
      assert.strictEqual(orders.current().changes.length, 1)
      yield* watch("orders.bank")
      yield* settle
      assert.deepStrictEqual(asked(), ["list", "watch"])
      assert.strictEqual(api.watches(), 2)
    })
  )

  it.effect("releases the watch of a namespace a moment after its last watcher left", () =>
    Effect.gen(function* () {
      const { api, asked, watch } = yield* start()
      const [one, other] = [yield* Scope.make(), yield* Scope.make()]
      for (const scope of [one, other]) yield* Scope.provide(watch("orders"), scope)
      yield* settle
      yield* Scope.close(one, Exit.void)
      yield* pass("1 minute")
      assert.strictEqual(api.watches(), 1)
      yield* Scope.close(other, Exit.void)
      yield* pass("2 seconds")
      assert.strictEqual(api.watches(), 0)
      asked()
      yield* pass("1 hour")
      assert.deepStrictEqual(asked(), [])
    })
  )

  it.effect("replaces a watch that was lost while nobody watched", () =>
    Effect.gen(function* () {
      const { api, watch } = yield* start()
      for (let n = 0; n < 3; n++) {
        const scope = yield* Scope.make()
        const orders = yield* Scope.provide(watch("orders"), scope)
        yield* settle
        assert.deepStrictEqual([orders.addresses(), orders.current().errors], [both, []])
        yield* Scope.close(scope, Exit.void)
        yield* settle
        api.endWatches()
        yield* settle
      }
      yield* pass("2 seconds")
      assert.strictEqual(api.watches(), 0)
    })
  )

  it.effect("reads everything anew for a watch without a cursor, by one list beside the watch that goes on", () =>
    Effect.gen(function* () {
      const { asked, orders, watch } = yield* started
      for (let n = 0; n < 10; n++) {
        const scope = yield* Scope.make()
        const again = yield* Scope.provide(watch("orders"), scope)
        yield* settle
        assert.deepStrictEqual(again.addresses(), both)
        yield* Scope.close(scope, Exit.void)
        yield* pass("1 second")
      }
      assert.deepStrictEqual(asked(), Array.replicate("list", 10))
      assert.strictEqual(orders.current().changes.length, 1)
    })
  )

  it.effect("lists the namespace again where a full read shows that the watch missed something", () =>
    Effect.gen(function* () {
      const { api, asked, orders, watch } = yield* started
      api.faults.silent = true
      api.write("shop", three)
      yield* settle
      assert.deepStrictEqual(orders.addresses(), both)
      api.faults.silent = false
      const again = yield* watch("orders")
      yield* settle
      assert.deepStrictEqual([again.addresses(), orders.addresses()], [all, all])
      assert.deepStrictEqual(asked(), ["list", "list", "watch"])
      assert.strictEqual(api.watches(), 1)
    })
  )

  it.effect("refuses names that no Service can have, and says how to write one", () =>
    Effect.gen(function* () {
      const { asked, watch } = yield* start()
      for (const name of ["orders..shop", "a.b.c", `${"x".repeat(64)}.shop`]) {
        const one = yield* watch(name)
        yield* settle
        const [error] = one.current().errors
        assert.strictEqual(error?.reason._tag, "Unreadable")
        assert.include(error?.message, name)
      }
      assert.deepStrictEqual(asked(), [])
    })
  )
})

describe("Kubernetes, faults in virtual time", () => {
  it.effect("F-k8s-a2: opens a watch again that fell silent, and fails typed when nobody answers any more", () =>
    Effect.gen(function* () {
      const { api, asked, orders } = yield* started
      api.faults.silent = true
      api.faults.blackHole = true
      yield* pass("89 seconds")
      assert.deepStrictEqual(asked(), [])
      yield* pass("1 second")
      assert.deepStrictEqual(asked(), ["watch"])
      yield* pass("3 seconds")
      assert.strictEqual(orders.current().errors[0]?.reason._tag, "TimedOut")
      yield* pass("1 minute")
      assert.deepStrictEqual(orders.addresses(), both)
      assert.isAtMost(asked().length, 16)
      api.faults.silent = false
      api.faults.blackHole = false
      api.write("shop", three)
      yield* pass("10 seconds")
      assert.deepStrictEqual(orders.addresses(), all)
    })
  )

  it.effect("F-k8s-d: hears what it missed when a half-open watch is opened again where it ended", () =>
    Effect.gen(function* () {
      const { api, asked, orders, tags } = yield* started
      api.faults.silent = true
      api.write("shop", three)
      yield* pass("60 seconds")
      api.faults.silent = false
      assert.deepStrictEqual(orders.addresses(), both)
      yield* pass("30 seconds")
      assert.deepStrictEqual(orders.addresses(), all)
      assert.deepStrictEqual(asked(), ["watch"])
      assert.deepStrictEqual(tags(), ["Reset", "Changed"])
      assert.strictEqual(api.watches(), 1)
    })
  )

  it.effect("F-k8s-d: believes in a quiet watch as long as bookmarks come", () =>
    Effect.gen(function* () {
      const { asked } = yield* started
      yield* pass("210 seconds")
      assert.deepStrictEqual(asked(), [])
    })
  )

  it.effect(
    "F-k8s-b: resumes after a restart of the API server without a full read, and lists once a little later",
    () =>
      Effect.gen(function* () {
        const { api, asked, orders, tags } = yield* started
        api.endWatches()
        api.write("shop", three)
        yield* pass("200 millis")
        assert.deepStrictEqual(tags(), ["Reset", "Resumed", "Changed"])
        assert.deepStrictEqual(orders.addresses(), all)
        yield* pass("5 seconds")
        assert.deepStrictEqual(asked(), ["watch", "list", "watch"])
        assert.deepStrictEqual(tags(), ["Reset", "Resumed", "Changed"])
      })
  )

  for (const [what, before, after] of [
    ["an empty one", false, "1 second"],
    ["an old backup", true, "1 second"],
    ["an old backup after a long and quiet life", true, "2 minutes"]
  ] as const) {
    it.effect(
      `F-k8s-c: notices within seconds that the API server came back with ${what}, which answers as if nothing were`,
      () =>
        Effect.gen(function* () {
          const { api, orders, tags } = yield* started
          const backup = before ? api.snapshot() : KubernetesApi.nothing
          api.write("shop", three)
          for (let n = 0; n < 50; n++) api.write("shop", slice("noise", [], { service: "noise" }))
          yield* settle
          assert.deepStrictEqual(orders.addresses(), all)
          yield* pass(after)
          api.restore(backup)
          api.endWatches()
          yield* pass("200 millis")
          assert.notInclude(tags().slice(1), "Reset")
          yield* pass("5 seconds")
          assert.deepStrictEqual(orders.addresses(), before ? both : [])
          api.write("shop", slice("orders-1", [pod("d", "10.0.0.4")]))
          yield* settle
          assert.deepStrictEqual(orders.addresses(), ["10.0.0.4:8080"])
        })
    )
  }

  it.effect("F-k8s-c: believes a listing of the restored API server although a slice has the same number again", () =>
    Effect.gen(function* () {
      const { api, orders } = yield* started
      const backup = api.snapshot()
      api.write("shop", three)
      yield* settle
      assert.deepStrictEqual(orders.addresses(), all)
      api.restore(backup)
      api.write("shop", slice("orders-1", [pod("d", "10.0.0.4")]))
      api.endWatches()
      yield* pass("10 seconds")
      assert.deepStrictEqual(orders.addresses(), ["10.0.0.4:8080"])
    })
  )

  for (const [status, reason] of [
    [429, "Exhausted"],
    [500, "Unavailable"],
    [503, "Unavailable"]
  ] as const) {
    it.effect(`F-k8s-e: keeps what it knows through ${status}, and calls no earlier than it was asked to`, () =>
      Effect.gen(function* () {
        const { api, asked, orders } = yield* started
        api.faults.refuse = { list: { status, retryAfter: 20 }, watch: { status, retryAfter: 20 } }
        api.endWatches()
        yield* pass("200 millis")
        assert.deepStrictEqual(asked(), ["watch"])
        assert.deepStrictEqual(
          orders.current().errors.map((error) => error.reason._tag),
          ["Unavailable", reason]
        )
        yield* pass("19 seconds")
        assert.deepStrictEqual(asked(), [])
        assert.deepStrictEqual(orders.addresses(), both)
        assert.include(orders.current().errors.at(-1)?.message, "asked not to be called for another")
        api.faults.refuse = {}
        yield* pass("11 seconds")
        assert.isTrue(orders.current().isLive)
      })
    )
  }

  for (const gone of ["in-band", "http"] as const) {
    it.effect(`F-k8s-f: lists again after a compaction told ${gone}, and tells the difference alone`, () =>
      Effect.gen(function* () {
        const { api, asked, orders, tags } = yield* started
        api.faults.gone = gone
        api.endWatches()
        api.write("shop", three)
        api.compact()
        yield* pass("6 seconds")
        assert.deepStrictEqual(orders.addresses(), all)
        assert.deepStrictEqual(asked(), ["watch", "list", "watch"])
        assert.notInclude(tags().slice(1), "Reset")
        const [error, ...others] = orders.current().errors
        assert.deepStrictEqual([error?.reason._tag, others], ["Unavailable", []])
      })
    )
  }

  it.effect("F-k8s-f: resumes from bookmarks, so that an idle watch outlives any compaction", () =>
    Effect.gen(function* () {
      const { api, asked, orders } = yield* started
      for (let n = 0; n < 12; n++) {
        api.write("bank", slice("other", []))
        api.compact()
        yield* pass("5 minutes")
      }
      assert.notInclude(asked(), "list")
      assert.deepStrictEqual(orders.current().errors, [])
    })
  )

  it.effect(
    "F-k8s-g: says which permission is missing and how to grant it, keeps the rest, and asks at its own pace",
    () =>
      Effect.gen(function* () {
        const { api, asked, orders } = yield* started
        for (const verb of ["watch", "list"] as const) {
          const allowed = new Set<KubernetesApi.Verb>(["get", "list", "watch"])
          allowed.delete(verb)
          api.roles.set("client", allowed)
          if (verb === "list") api.compact()
          api.endWatches()
          yield* pass("1 minute")
          const error = orders.current().errors.at(-1)
          assert.strictEqual(error?.reason._tag, "PermissionDenied")
          assert.include(error?.message, `client may not ${verb} endpointslices in namespace shop`)
          assert.include(error?.message, "kubectl --namespace=shop create role muster-client --verb=get,list,watch")
          assert.include(error?.message, "--role=muster-client --user='client'")
          assert.deepStrictEqual(orders.addresses(), both)
          assert.isAtMost(asked().length, 40)
          api.roles.clear()
          yield* pass("12 seconds")
          assert.isTrue(orders.current().isLive)
        }
      })
  )

  it.effect(
    "F-k8s-g: takes a refusal of nobody in particular for a lack of credentials, and asks for them once more",
    () =>
      Effect.gen(function* () {
        const api = KubernetesApi.make()
        api.write("shop", two)
        api.roles.set("system:anonymous", new Set())
        let user = "system:anonymous"
        let next = user
        const forget = Effect.sync(() => void (user = next))
        const client = Effect.sync(() => KubernetesApi.inProcess(api, user))
        const resolver = yield* SharedResolver.make({ client, forget }, { namespace: "shop", ports: {} })
        const orders = yield* Effect.provideService(follow("orders"), Resolver.Resolver, resolver)
        yield* settle
        const error = orders.current().errors[0]
        assert.strictEqual(error?.reason._tag, "Unauthenticated")
        assert.include(error?.message, "no credentials of ours")
        assert.notInclude(error?.message, "kubectl")
        next = "client"
        yield* pass("3 seconds")
        assert.deepStrictEqual(orders.addresses(), both)
        const asked = api.asked.map(({ user }) => user)
        assert.deepStrictEqual(asked.slice(asked.lastIndexOf("system:anonymous")), [
          "system:anonymous",
          "client",
          "client"
        ])
      })
  )

  it.effect("F-k8s-f: keeps few changes of a service, and tells everything to whoever is further behind", () =>
    Effect.gen(function* () {
      const api = KubernetesApi.make()
      api.write("shop", two)
      const context = yield* Layer.build(resolver(api))
      const orders = yield* Effect.provide(follow("orders"), context)
      yield* settle
      const first = orders.current().cursor
      const { watch } = Context.get(context, Resolver.Resolver)
      const tagsFrom = (from: typeof first, count: number) =>
        Stream.runCollect(Stream.take(watch(Endpoint.ServiceName.make("orders"), from), count)).pipe(
          Effect.map((changes) => changes.map(({ _tag }) => _tag))
        )
      /** Slowly enough for who follows. */
      const write = Effect.fnUntraced(function* (times: number) {
        for (let n = 0; n < times; n++) {
          api.write("shop", n % 2 === 0 ? three : two)
          if (n % 100 === 99) yield* settle
        }
        assert.deepStrictEqual(orders.addresses(), both)
      })
      yield* write(100)
      assert.deepStrictEqual(yield* tagsFrom(first, 3), ["Resumed", "Changed", "Changed"])
      yield* write(1000)
      assert.deepStrictEqual(yield* tagsFrom(first, 1), ["Reset"])
      assert.deepStrictEqual(yield* tagsFrom(orders.current().cursor, 1), ["Resumed"])
      assert.isFalse(
        orders
          .current()
          .changes.slice(1)
          .some(({ _tag }) => _tag === "Reset")
      )
    })
  )

  it.effect("F-k8s-h: lists again when it wakes from a pause in which its history was compacted", () =>
    Effect.gen(function* () {
      const { api, orders } = yield* started
      api.faults.silent = true
      api.write("shop", three)
      api.compact()
      yield* pass("2 minutes")
      assert.deepStrictEqual(orders.addresses(), all)
      assert.isTrue(orders.current().isLive)
    })
  )

  it.effect("F-k8s-i: takes what is no EndpointSlice, no event and no bookmark for what it is", () =>
    Effect.gen(function* () {
      const { api, orders } = yield* started
      const harmless = [
        `{"type":"ADDED","object":{"kind":"Status"}}`,
        `{"type":"MODIFIED","object":null}`,
        `{"type":"BOOKMARK","object":{}}`,
        `{"type":"NOVEL","object":{}}`
      ]
      for (const line of harmless) api.say(line)
      yield* settle
      assert.strictEqual(api.watches(), 1)
      assert.deepStrictEqual(orders.current().errors, [])
      for (const [n, line] of ["nonsense", "[]", `{"type":"ERROR","object":{"code":500}}`].entries()) {
        api.say(line)
        yield* pass("10 seconds")
        assert.strictEqual(orders.current().errors.length, n + 1)
        assert.isTrue(orders.current().isLive)
      }
      assert.deepStrictEqual(orders.addresses(), both)
    })
  )

  it.effect("F-k8s-j: in a wave of pods that are not ready, what still answers drains and the rest is held", () =>
    Effect.gen(function* () {
      const { api, orders } = yield* started
      const uids = Array.makeBy(10, (n) => `p${n}`)
      const wave = (conditions: (n: number) => typeof ready) =>
        slice(
          "orders-1",
          uids.map((uid, n) => pod(uid, `10.0.0.${n}`, conditions(n)))
        )
      api.write(
        "shop",
        wave(() => ready)
      )
      yield* settle
      const step = DiscoveryState.step(yield* Policy.MassRemoval)
      const told = () => orders.current().changes.map((change, at) => ({ ...change, at }))
      api.write(
        "shop",
        wave((n) => (n < 4 ? leaving : notReady))
      )
      yield* settle
      assert.deepStrictEqual(
        orders.addresses(),
        [0, 1, 2, 3].map((n) => `10.0.0.${n}:8080 draining`)
      )
      const state = told().reduce(step, DiscoveryState.initial)
      assert.strictEqual(state._tag === "Live" && Snapshot.size(state.snapshot), 10)
      api.write(
        "shop",
        wave(() => ended)
      )
      yield* settle
      const last = told().reduce(step, DiscoveryState.initial)
      assert.strictEqual(last._tag === "Live" && Snapshot.size(last.snapshot), 6)
    })
  )

  it.effect("F-k8s-l: reads a listing page by page, and begins again when the rest of it expired", () =>
    Effect.gen(function* () {
      const api = KubernetesApi.make()
      for (let n = 0; n < 25; n++) api.write("shop", slice(`orders-${n}`, [pod(`p${n}`, `10.0.0.${n}`)]))
      const expiring = {
        ...api,
        handle: (request: KubernetesApi.Request) => {
          if (api.asked.length === 2) api.compact()
          return api.handle(request)
        }
      }
      const context = yield* Layer.build(resolver(expiring))
      const orders = yield* Effect.provide(follow("orders"), context)
      yield* settle
      assert.strictEqual(Snapshot.size(orders.current().snapshot), 25)
      const limits = api.asked
        .filter(({ verb }) => verb === "list")
        .map(({ query }) => [query["limit"], "continue" in query])
      assert.deepStrictEqual(limits, [
        ["10", false],
        ["10", true],
        ["10", true],
        ["10", false],
        ["10", true],
        ["10", true]
      ])
      assert.deepStrictEqual(orders.current().errors, [])
    }).pipe(Effect.updateService(Policy.SharedWatch, (policy) => ({ ...policy, pageSize: 10 })))
  )

  it.effect("F-k8s-o: gives up a call that takes 5 s, has no two of them under way, and keeps what it knows", () =>
    Effect.gen(function* () {
      const { api, asked, orders } = yield* started
      api.faults.delay = Duration.seconds(5)
      api.endWatches()
      yield* pass("1 minute")
      assert.deepStrictEqual(orders.addresses(), both)
      assert.isAtMost(asked().length, 15)
      assert.isTrue(
        orders
          .current()
          .errors.slice(1)
          .every(({ reason }) => reason._tag === "TimedOut")
      )
      api.faults.delay = Duration.seconds(2)
      api.write("shop", three)
      yield* pass("30 seconds")
      assert.deepStrictEqual(orders.addresses(), all)
    })
  )

  it.effect("F-c6: 1 000 clients of a restarted API server list again spread over the jitter window", () =>
    Effect.gen(function* () {
      const api = KubernetesApi.make()
      api.write("shop", two)
      const clients = yield* Effect.replicateEffect(
        Effect.flatMap(Layer.build(Layer.fresh(resolver(api))), (context) => Effect.provide(follow("orders"), context)),
        1000
      )
      yield* settle
      assert.strictEqual(api.watches(), 1000)
      api.write("shop", three)
      api.compact()
      api.endWatches()
      api.asked.length = 0
      const lists: Array<number> = []
      for (let n = 0; n < 60; n++) {
        yield* TestClock.adjust("100 millis")
        lists.push(api.asked.splice(0).filter(({ verb }) => verb === "list").length)
      }
      yield* settle
      assert.isTrue(clients.every((client) => client.addresses().length === 3))
      assert.strictEqual(
        Array.reduce(lists, 0, (a, b) => a + b),
        1000
      )
      // 5 s of jitter behind a first retry after about 100 ms: 20 lists in each tenth of a second, give or take.
      assert.isAtMost(Math.max(...lists), 45)
      assert.isAtLeast(lists.filter((count) => count > 5).length, 48)
    })
  )
})
