/**
 * What slices mean, without any API server: the rules one by one, and all of them against a plain model.
 */
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { Endpoint, Snapshot } from "@muster/core"
import type { Wanted } from "../src/internal/kubernetes/candidate.ts"
import * as EndpointSlice from "../src/internal/kubernetes/endpointSlice.ts"
import * as Inventory from "../src/internal/kubernetes/inventory.ts"
import * as ServiceView from "../src/internal/kubernetes/serviceView.ts"
import {
  ended,
  type EndpointJson,
  leaving,
  notReady,
  pod,
  ready,
  slice,
  type SliceJson
} from "./fixtures/endpointSlices.ts"

const orders = Endpoint.ServiceName.make("orders")

/** A service that is told slices, as the watch of its namespace would tell them. */
const follow = (wanted?: Wanted) => {
  const inventory = Inventory.make()
  const view = inventory.acquire(orders, "orders", 0, () => ServiceView.make(orders, wanted, "test", 1000))
  inventory.replace([], 0)
  let { cursor } = view.read(undefined)
  let snapshot = Snapshot.empty
  let version = 0
  let at = 1000

  /** What the watchers were told since the last time. */
  const news = () => {
    const reading = view.read(cursor)
    cursor = reading.cursor
    const changes = reading.changes.filter((change) => change._tag === "Changed")
    for (const change of changes) snapshot = Snapshot.apply(snapshot, change.deltas)
    return changes
  }
  const put = (...objects: ReadonlyArray<SliceJson>) => {
    for (const object of objects) {
      const metadata = { uid: object.metadata.name, resourceVersion: String(++version), ...object.metadata }
      inventory.put(Result.getOrThrow(EndpointSlice.read({ ...object, metadata })), ++at)
    }
    return news()
  }
  return {
    put,
    remove: (name: string) => {
      inventory.remove(name, ++at)
      return news()
    },
    listed: () => Snapshot.endpoints(snapshot),
    skipped: () => {
      const [reset] = view.read(undefined).changes
      return reset?._tag === "Reset" ? reset.skipped : []
    },
    /** The endpoints of a full reading, which agree with the sum of the changes. */
    endpoints: () => {
      const [reset] = view.read(undefined).changes
      const endpoints = reset?._tag === "Reset" ? reset.endpoints : []
      assert.deepStrictEqual(describeAll(endpoints), describeAll(Snapshot.endpoints(snapshot)))
      return endpoints
    }
  }
}

const describeOne = ({ address, draining, id }: Endpoint.Endpoint) => `${id} ${address}${draining ? " draining" : ""}`
const describeAll = (endpoints: Iterable<Endpoint.Endpoint>) => Array.from(endpoints, describeOne).toSorted()

/** What these slices come to. */
const endpointsOf = (slices: ReadonlyArray<SliceJson>, wanted?: Wanted) => {
  const service = follow(wanted)
  service.put(...slices)
  return describeAll(service.endpoints())
}

const both = (one: EndpointJson["conditions"], other: EndpointJson["conditions"]) =>
  endpointsOf([slice("s1", [pod("a", "10.0.0.1", one)]), slice("s2", [pod("a", "10.0.0.1", other)])])

const ports = (port: number) => ({
  ports: [
    { name: "metrics", port: 9 },
    { name: "http", port }
  ]
})

const withPorts = (ports: SliceJson["ports"]) => [slice("s", [pod("a", "10.0.0.1")], { ports })]

const hinted = (uid: string, address: string, zone: string, conditions = ready) =>
  pod(uid, address, conditions, { zone, nodeName: `n-${zone}`, hints: { forZones: [{ name: zone }] } })

const read = (version: string, endpoints: ReadonlyArray<EndpointJson>) => {
  const object = slice("s", endpoints)
  const metadata = { uid: "s", resourceVersion: version, ...object.metadata }
  return Result.getOrThrow(EndpointSlice.read({ ...object, metadata }))
}

const hundred = (n: number, first = ready) =>
  slice(
    `s${n}`,
    Array.from({ length: 100 }, (_, k) => pod(`p-${n}-${k}`, `10.${n}.0.${k}`, k === 0 ? first : ready))
  )

const elapsed = (run: () => void) => {
  const begun = process.cpuUsage()
  run()
  const { system, user } = process.cpuUsage(begun)
  return (system + user) / 1000
}

describe("Kubernetes, slices", () => {
  it("lists a pod while it is ready, as draining while it leaves and still answers, and in no other state", () => {
    const service = follow()
    const life = [notReady, ready, leaving, ended].map((conditions) => {
      service.put(slice("s", [pod("a", "10.0.0.1", conditions)]))
      return describeAll(service.endpoints())
    })
    assert.deepStrictEqual(life, [[], ["a 10.0.0.1:8080"], ["a 10.0.0.1:8080 draining"], []])
  })

  it("takes unknown conditions as documented: ready, serving, not terminating", () => {
    for (const conditions of [null, {}, { ready: null, serving: null, terminating: null }]) {
      assert.deepStrictEqual(endpointsOf([slice("s", [pod("a", "10.0.0.1", conditions)])]), ["a 10.0.0.1:8080"])
    }
    const terminating = { ready: false, serving: null, terminating: true }
    assert.deepStrictEqual(endpointsOf([slice("s", [pod("a", "10.0.0.1", terminating)])]), ["a 10.0.0.1:8080 draining"])
  })

  it("lists pods that publish themselves before they are ready, and drains them when they leave", () => {
    const published = { ready: true, serving: false, terminating: false }
    assert.deepStrictEqual(endpointsOf([slice("s", [pod("a", "10.0.0.1", published)])]), ["a 10.0.0.1:8080"])
    assert.deepStrictEqual(endpointsOf([slice("s", [pod("a", "10.0.0.1", { ...published, terminating: true })])]), [
      "a 10.0.0.1:8080 draining"
    ])
  })

  it("names an instance after its pod, and after its address where there is none", () => {
    const manual = { addresses: ["10.0.0.2"], conditions: ready }
    assert.deepStrictEqual(endpointsOf([slice("s", [pod("a", "10.0.0.1"), manual, { ...manual, targetRef: null }])]), [
      "10.0.0.2:8080 10.0.0.2:8080",
      "a 10.0.0.1:8080"
    ])
    assert.deepStrictEqual(endpointsOf([slice("s", [{ addresses: ["fd00::1"] }], { addressType: "IPv6" })]), [
      "[fd00::1]:8080 [fd00::1]:8080"
    ])
  })

  it("keeps every slice of a service when one of them changes, empties or leaves", () => {
    const service = follow()
    service.put(slice("s1", [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")]), slice("s2", [pod("c", "10.0.0.3")]))
    service.put(slice("s1", [pod("a", "10.0.0.1")]))
    assert.deepStrictEqual(describeAll(service.endpoints()), ["a 10.0.0.1:8080", "c 10.0.0.3:8080"])
    service.put(slice("s1", null))
    assert.deepStrictEqual(describeAll(service.endpoints()), ["c 10.0.0.3:8080"])
    service.remove("s2")
    assert.deepStrictEqual(service.endpoints(), [])
  })

  it("lists a pod once while it moves from one slice to another, whichever is told first", () => {
    const a = pod("a", "10.0.0.1")
    for (const first of ["s1", "s2"]) {
      const service = follow()
      service.put(slice("s1", [a]))
      const moves = [slice("s1", []), slice("s2", [a])].toSorted((one) => (one.metadata.name === first ? -1 : 1))
      service.put(...moves)
      assert.deepStrictEqual(describeAll(service.endpoints()), ["a 10.0.0.1:8080"])
    }
  })

  it("believes the better of two conditions of one pod", () => {
    assert.deepStrictEqual(both(notReady, ready), ["a 10.0.0.1:8080"])
    assert.deepStrictEqual(both(ready, leaving), ["a 10.0.0.1:8080"])
    assert.deepStrictEqual(both(ended, leaving), ["a 10.0.0.1:8080 draining"])
    assert.deepStrictEqual(both(notReady, ended), [])
  })

  it("F-m: lists an address once, for the pod that is not leaving, and for the other when that one is gone", () => {
    const service = follow()
    service.put(slice("s", [pod("new", "10.0.0.1"), pod("old", "10.0.0.1", leaving)]))
    assert.deepStrictEqual(describeAll(service.endpoints()), ["new 10.0.0.1:8080"])
    service.put(slice("s", [pod("old", "10.0.0.1", leaving)]))
    assert.deepStrictEqual(describeAll(service.endpoints()), ["old 10.0.0.1:8080 draining"])
    service.put(slice("s", [pod("old", "10.0.0.1", leaving), pod("new", "10.0.0.1", notReady)]))
    assert.deepStrictEqual(describeAll(service.endpoints()), ["old 10.0.0.1:8080 draining"])
  })

  it("counts a dual-stack pod once, by IPv4, and follows a service that gives up a family", () => {
    const four = slice("four", [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")])
    const six = slice("six", [pod("a", "fd00::1"), pod("b", "fd00::2")], { addressType: "IPv6" })
    const service = follow()
    service.put(six, four)
    assert.deepStrictEqual(describeAll(service.endpoints()), ["a 10.0.0.1:8080", "b 10.0.0.2:8080"])
    service.put(slice("four", [pod("a", "10.0.0.1", leaving), pod("b", "10.0.0.2")]))
    assert.deepStrictEqual(describeAll(service.endpoints()), ["a 10.0.0.1:8080 draining", "b 10.0.0.2:8080"])
    service.remove("four")
    assert.deepStrictEqual(describeAll(service.endpoints()), ["a [fd00::1]:8080", "b [fd00::2]:8080"])
  })

  it("finds a named port in each slice, so that a rolling change of the number is followed", () => {
    const slices = [
      slice("old", [pod("a", "10.0.0.1")], ports(8080)),
      slice("new", [pod("b", "10.0.0.2")], ports(9090))
    ]
    assert.deepStrictEqual(endpointsOf(slices, "http"), ["a 10.0.0.1:8080", "b 10.0.0.2:9090"])
    assert.deepStrictEqual(endpointsOf(slices, 9090), ["b 10.0.0.2:9090"])
    assert.deepStrictEqual(endpointsOf(slices), ["a 10.0.0.1:9", "b 10.0.0.2:9"])
  })

  it("takes the first TCP port where none is named, and a number that no slice can confirm", () => {
    assert.deepStrictEqual(
      endpointsOf(
        withPorts([
          { name: "dns", port: 53, protocol: "UDP" },
          { name: null, port: 80 }
        ])
      ),
      ["a 10.0.0.1:80"]
    )
    for (const unnumbered of [null, [], [{ name: "all", port: null }], [{ port: 53, protocol: "UDP" }]]) {
      assert.deepStrictEqual(endpointsOf(withPorts(unnumbered), 8080), ["a 10.0.0.1:8080"])
    }
  })

  it("F-k8s-i: skips what cannot be used, says what it is and why, once, and keeps the rest", () => {
    const service = follow("http")
    const bad = [
      slice("no-ports", [pod("b", "10.0.0.2")], { ports: null }),
      slice("other-ports", [pod("c", "10.0.0.3")], { ports: [{ name: "grpc", port: 1 }, { port: 2 }] }),
      slice("port-0", [pod("d", "10.0.0.4")], { ports: [{ name: "http", port: 0 }] }),
      slice("host-names", [pod("e", "example.org")], { addressType: "FQDN" }),
      slice("wrong-family", [pod("f", "fd00::1"), pod("g", "10.0.0.6")]),
      slice("no-address", [{ addresses: [] }]),
      slice("bad-uid", [pod("a/b", "10.0.0.7")]),
      slice("bad-host", [pod("h", "10.0.0.256")]),
      { ...slice("bad-endpoints", []), endpoints: 7 as never },
      { ...slice("bad-endpoint", []), endpoints: ["x" as never] }
    ]
    const told = service.put(slice("good", [pod("a", "10.0.0.1")]), ...bad).flatMap(({ skipped }) => skipped)
    assert.deepStrictEqual(describeAll(service.endpoints()), ["a 10.0.0.1:8080", "g 10.0.0.6:8080"])
    const names = bad.map(({ metadata }) => metadata.name)
    assert.deepStrictEqual(
      told.map(({ key }) => key.split("/")[0]),
      names
    )
    assert.deepStrictEqual(service.skipped(), told)
    assert.isTrue(told.every(({ problem }) => problem.length > 10))
    assert.include(told[1]?.problem, "it has no TCP port http; it has grpc = 1, 2")
    assert.deepStrictEqual(service.put(...bad), [])
  })

  it("F-k8s-i: keeps what a slice said last when it cannot be read any more", () => {
    const service = follow()
    service.put(slice("s", [pod("a", "10.0.0.1")]))
    const [change] = service.put({ ...slice("s", []), endpoints: 7 as never })
    assert.deepStrictEqual([change?.deltas, change?.skipped.map(({ key }) => key)], [[], ["s"]])
    assert.deepStrictEqual(describeAll(service.endpoints()), ["a 10.0.0.1:8080"])
    service.remove("s")
    assert.deepStrictEqual(service.endpoints(), [])
  })

  it("does not even look at what carries no identity", () => {
    for (const object of [null, 7, [], {}, { kind: "Status" }, { metadata: { name: "s", uid: "u" } }]) {
      assert.isTrue(Result.isFailure(EndpointSlice.read(object)))
    }
  })

  it("carries zone, node and pod, and hints only while every ready endpoint has them", () => {
    const service = follow()
    const metadata = () =>
      Object.fromEntries<unknown>(service.endpoints().map(({ id, metadata, zone }) => [id, { ...metadata, zone }]))
    const a = { pod: "pod-a", node: "n-east", zone: "east" }
    const b = { pod: "pod-b", node: "n-west", zone: "west" }
    service.put(slice("s1", [hinted("a", "10.0.0.1", "east")]), slice("s2", [hinted("b", "10.0.0.2", "west")]))
    assert.deepStrictEqual(metadata(), { a: { ...a, forZones: "east" }, b: { ...b, forZones: "west" } })
    const [change] = service.put(slice("s3", [pod("c", "10.0.0.3")]))
    assert.strictEqual(change?.deltas.length, 3)
    assert.deepStrictEqual(metadata(), { a, b, c: { pod: "pod-c", zone: undefined } })
    service.put(slice("s3", [pod("c", "10.0.0.3", notReady)]))
    assert.deepStrictEqual(metadata(), { a: { ...a, forZones: "east" }, b: { ...b, forZones: "west" } })
  })

  it("dates an instance from when it was first seen to take requests; what was there before us has no date", () => {
    const inventory = Inventory.make()
    const view = inventory.acquire(orders, "orders", 0, () => ServiceView.make(orders, undefined, "test", 1000))
    const dates = () => {
      const [reset] = view.read(undefined).changes
      return reset?._tag === "Reset" ? reset.endpoints.map(({ id, startedAt }) => `${id} ${startedAt}`) : []
    }
    inventory.replace([read("1", [pod("a", "10.0.0.1")])], 100)
    inventory.put(read("2", [pod("a", "10.0.0.1"), pod("b", "10.0.0.2", notReady)]), 200)
    inventory.put(read("3", [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")]), 300)
    assert.deepStrictEqual(dates(), ["a 0", "b 300"])
    inventory.put(read("4", [pod("a", "10.0.0.1", notReady), pod("b", "10.0.0.2", notReady)]), 400)
    inventory.replace([read("5", [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")])], 500)
    assert.deepStrictEqual(dates(), ["a 0", "b 300"])
    inventory.put(read("6", [pod("a", "10.0.0.1")]), 600)
    inventory.put(read("7", [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")]), 700)
    assert.deepStrictEqual(dates(), ["a 0", "b 700"])
  })

  it("keeps the view of a service that nobody watches for as long as the service has a slice, and no longer", () => {
    const inventory = Inventory.make()
    let views = 0
    const acquire = () =>
      inventory.acquire(orders, "orders", 0, () => ServiceView.make(orders, undefined, `test-${++views}`, 1000))
    const first = acquire()
    inventory.replace([read("1", [pod("a", "10.0.0.1")])], 100)
    inventory.release(orders, "orders")
    assert.strictEqual(acquire(), first)
    inventory.remove("s", 200)
    inventory.put(read("2", [pod("a", "10.0.0.1")]), 300)
    assert.strictEqual(acquire(), first)
    for (const _ of ["one watcher", "the other"]) inventory.release(orders, "orders")
    inventory.remove("s", 400)
    inventory.put(read("3", [pod("a", "10.0.0.1")]), 500)
    assert.notStrictEqual(acquire(), first)
    inventory.release(orders, "orders")
    inventory.replace([], 600)
    acquire()
    assert.strictEqual(views, 3)
  })

  it("tells nothing when a slice changes in nothing that matters, or is told again", () => {
    const service = follow()
    service.put(slice("s", [pod("a", "10.0.0.1"), pod("b", "10.0.0.2", notReady)]))
    assert.deepStrictEqual(service.put(slice("s", [pod("a", "10.0.0.1"), pod("b", "10.0.0.2", ended)])), [])
    const versioned = { ...slice("s", []), metadata: { ...slice("s", []).metadata, uid: "s", resourceVersion: "2" } }
    assert.deepStrictEqual(service.put(versioned), [])
    assert.deepStrictEqual(describeAll(service.endpoints()), ["a 10.0.0.1:8080"])
  })

  it("follows a slice that is given to another service", () => {
    const service = follow()
    service.put(slice("s", [pod("a", "10.0.0.1")]))
    service.put(slice("s", [pod("a", "10.0.0.1")], { service: "bills" }))
    assert.deepStrictEqual(service.endpoints(), [])
    service.put(slice("s", [pod("a", "10.0.0.1")]))
    assert.deepStrictEqual(describeAll(service.endpoints()), ["a 10.0.0.1:8080"])
  })

  it("takes 5 000 endpoints in 50 slices, and then spends on a changed slice what that slice is worth", () => {
    const service = follow()
    const slices = Array.from({ length: 50 }, (_, n) => hundred(n))
    const open = elapsed(() => service.put(...slices))
    assert.strictEqual(service.listed().length, 5000)
    let told = 0
    const changes = elapsed(() => {
      for (let n = 0; n < 100; n++) {
        const [change] = service.put(hundred(n % 50, n < 50 ? leaving : ready))
        told += change?.deltas.length ?? 0
      }
    })
    assert.strictEqual(told, 100)
    assert.isBelow(open, 1000)
    // 100 slices of 100 endpoints are twice the first 50: far less than 100 times all of them.
    assert.isBelow(changes, 10 * open)
  })
})

// Everything is drawn from so few values that pods move, double, swap addresses and change families all the time.
const Drawn = Schema.Struct({
  slice: Schema.Literals(["s1", "s2", "s3"]),
  addressType: Schema.Literals(["IPv4", "IPv4", "IPv6", "FQDN"]),
  port: Schema.Literals([8080, 8080, 9090, 0]),
  endpoints: Schema.UndefinedOr(
    Schema.Array(
      Schema.Struct({
        uid: Schema.Literals(["a", "b", "c", ""]),
        address: Schema.Literals([1, 2, 3]),
        conditions: Schema.Literals(["notReady", "ready", "ready", "leaving", "ended", "unknown"]),
        hint: Schema.Literals(["", "east", "east", "west"])
      })
    )
  )
})

const conditions = { notReady, ready, leaving, ended, unknown: null }

const drawn = ({ addressType, endpoints = [], port, slice: name }: typeof Drawn.Type): SliceJson =>
  slice(
    name,
    endpoints.map(({ address, hint, uid, ...one }) =>
      pod(uid, addressType === "IPv6" ? `fd00::${address}` : `10.0.0.${address}`, conditions[one.conditions], {
        hints: hint === "" ? null : { forZones: [{ name: hint }] }
      })
    ),
    { addressType, ports: [{ name: "http", port }] }
  )

/** The documented rules, as plainly as they can be said. */
const model = (slices: ReadonlyArray<SliceJson>): ReadonlyArray<string> => {
  const said = slices.flatMap(({ addressType, endpoints, metadata, ports }) =>
    (endpoints ?? []).flatMap(({ addresses, conditions, hints, targetRef }) => {
      const port = ports?.[0]?.port ?? 0
      if (addressType === "FQDN" || port === 0) return []
      const address = addressType === "IPv6" ? `[${addresses[0]}]:${port}` : `${addresses[0]}:${port}`
      const { ready = true, serving = true, terminating = false } = conditions ?? {}
      const rank = terminating ? (ready || serving ? 1 : 2) : ready ? 0 : 2
      const zones = hints?.forZones?.map(({ name }) => name).join(",") ?? ""
      return [{ id: targetRef?.uid || address, address, family: addressType, rank, zones, slice: metadata.name }]
    })
  )
  const order = (one: (typeof said)[number]) => [one.family, one.rank, one.address, one.slice].join(" ")
  const instances = [...new Set(said.map(({ id }) => id))].map((id) => {
    const [best] = said.filter((one) => one.id === id).toSorted((a, b) => (order(a) < order(b) ? -1 : 1))
    return best ?? assert.fail()
  })
  const listed = instances.filter(
    (one) =>
      one.rank < 2 &&
      !instances.some(
        (other) =>
          other.address === one.address && (other.rank < one.rank || (other.rank === one.rank && other.id < one.id))
      )
  )
  const isHinted = listed.every(({ rank, zones }) => rank > 0 || zones !== "")
  return listed
    .map(({ address, id, rank, zones }) => `${id} ${address}${rank === 1 ? " draining" : ""} ${isHinted ? zones : ""}`)
    .toSorted()
}

describe("Kubernetes, slices against a model", () => {
  it.prop(
    "folds any history of slices to what the documented rules say of the slices that there are",
    [Schema.Array(Drawn)],
    ([history]) => {
      const service = follow("http")
      const there = new Map<string, SliceJson>()
      for (const move of history) {
        if (move.endpoints === undefined) {
          there.delete(move.slice)
          service.remove(move.slice)
        } else {
          there.set(move.slice, drawn(move))
          service.put(drawn(move))
        }
        const zoned = service
          .endpoints()
          .map((endpoint) => `${describeOne(endpoint)} ${endpoint.metadata["forZones"] ?? ""}`)
        assert.deepStrictEqual(zoned.toSorted(), model([...there.values()]))
      }
    },
    { arbitrary: { runs: 10_000 }, timeout: 120_000 }
  )
})
