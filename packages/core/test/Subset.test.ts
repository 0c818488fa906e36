import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Subset } from "@muster/core"

const options: Subset.Options = { size: 20, above: 50 }

const ids = (prefix: string, from: number, to: number) =>
  new Set(Array.from({ length: to - from }, (_, index) => `${prefix}-${from + index}`))

const chosen = (own: string, servers: ReadonlySet<string>, clients: ReadonlySet<string>) => {
  const subset = Subset.make(options, own)
  Subset.follow(subset, servers, clients)
  return Subset.chosen(subset)
}

/** Moves clients to other lists. */
const moved = (
  subsets: ReadonlyArray<Subset.Subset>,
  servers: ReadonlySet<string>,
  clients: ReadonlySet<string>
): Sets =>
  new Map(
    subsets.map((subset) => {
      Subset.follow(subset, servers, clients)
      return [subset.own, Subset.chosen(subset)]
    })
  )

type Sets = ReadonlyMap<string, ReadonlySet<string>>

const assignment = (servers: ReadonlySet<string>, clients: ReadonlySet<string>): Sets =>
  new Map(Array.from(clients, (own) => [own, chosen(own, servers, clients)]))

/** The standard deviation over the mean. */
const variation = (numbers: ReadonlyArray<number>) => {
  const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length
  return Math.sqrt(numbers.reduce((sum, number) => sum + (number - mean) ** 2, 0) / numbers.length) / mean
}

/** How many clients each server has. */
const clientsOf = (servers: ReadonlySet<string>, sets: Sets) => {
  const counts = new Map(Array.from(servers, (id) => [id, 0]))
  for (const set of sets.values()) for (const id of set) counts.set(id, (counts.get(id) ?? 0) + 1)
  return [...counts.values()]
}

/** How evenly the servers are loaded when all clients send as much as each other and spread it evenly. */
const loads = (servers: ReadonlySet<string>, sets: Sets) => {
  const sums = new Map(Array.from(servers, (id) => [id, 0]))
  for (const set of sets.values()) for (const id of set) sums.set(id, (sums.get(id) ?? 0) + 1 / set.size)
  return [...sums.values()]
}

/** New connections for each client. */
const churn = (before: Sets, after: Sets) => {
  let added = 0
  for (const [own, set] of after) for (const id of set) if (before.get(own)?.has(id) === false) added++
  return added / after.size
}

/** The measured table of rendezvous, ring, SRE and deterministic aperture: the best spread and the best churn of any. */
const best = { spread: 0, churnLess: 0.16, churnMore: 0.21 }

const Change = Schema.Struct({ client: Schema.Boolean, index: Schema.Literals([0, 1, 2, 3, 40, 60, 61]) })

describe("Subset", () => {
  for (const n of [100, 1000]) {
    it(`${n} × ${n}: as even as the evenest and as quiet as the quietest known scheme`, { timeout: 300_000 }, () => {
      const clients = ids("client", 0, n)
      const servers = ids("server", 0, n)
      const subsets = Array.from(clients, (own) => Subset.make(options, own))
      const before = moved(subsets, servers, clients)
      assert.strictEqual(variation(clientsOf(servers, before)), best.spread)
      assert.isAtMost(churn(before, moved(subsets, ids("server", 1, n), clients)), (best.churnLess * 100) / n)
      if (n === 100) {
        moved(subsets, servers, ids("client", 0, 50))
        assert.deepStrictEqual(moved(subsets, servers, clients), before)
      }
      assert.isAtMost(churn(before, moved(subsets, ids("server", 0, n + 1), clients)), (best.churnMore * 100) / n)

      const sizes = Array.from(before.values(), ({ size }) => size)
      assert.strictEqual(sizes.reduce((sum, size) => sum + size, 0) / n, options.size)
      assert.isAtLeast(Math.min(...sizes), options.size / 4)
      assert.isAtMost(Math.max(...sizes), options.size * 2)
      assert.isBelow(variation(loads(servers, before)), 0.07)
    })
  }

  it("keeps every server at the same number of clients while both lists grow and shrink", () => {
    for (const [clients, servers] of [
      [300, 100],
      [1000, 100],
      [50, 300],
      [99, 101],
      [8, 60]
    ] as const) {
      const sets = assignment(ids("server", 0, servers), ids("client", 0, clients))
      assert.strictEqual(variation(clientsOf(ids("server", 0, servers), sets)), 0, `${clients} × ${servers}`)
    }
  })

  it("costs a change of the clients no more than the connections of one", () => {
    const servers = ids("server", 0, 100)
    const before = assignment(servers, ids("client", 0, 100))
    assert.isAtMost(churn(before, assignment(servers, ids("client", 1, 100))) * 99, 40)
    const after = assignment(servers, ids("client", 0, 101))
    assert.strictEqual(churn(before, after), 0)
  })

  it("chooses today as it always did: clients of several versions must agree", () => {
    const subset = Subset.make({ size: 4, above: 5 }, "client-0")
    Subset.follow(subset, ids("server", 0, 10), ids("client", 0, 3))
    assert.deepStrictEqual([...Subset.chosen(subset)], ["server-0", "server-1", "server-5", "server-7"])
  })

  it("uses everybody while there are few", () => {
    assert.strictEqual(chosen("client-0", ids("server", 0, 49), ids("client", 0, 1000)).size, 49)
    assert.isBelow(chosen("client-0", ids("server", 0, 50), ids("client", 0, 50)).size, 50)
  })

  it("a client that is not registered uses exactly as many as it should, and hardly ever others", () => {
    const before = chosen("stranger", ids("server", 0, 100), ids("client", 0, 100))
    assert.strictEqual(before.size, 20)
    for (let gone = 0; gone < 100; gone++) {
      const servers = ids("server", 0, 100)
      servers.delete(`server-${gone}`)
      const after = chosen("stranger", servers, new Set())
      assert.strictEqual(after.size, 20)
      const added = [...after].filter((id) => !before.has(id)).length
      assert.strictEqual(added, before.has(`server-${gone}`) ? 1 : 0)
    }
  })

  it("leaves no server without a client, however few there are", () => {
    for (const clients of [1, 3, 10]) {
      const servers = ids("server", 0, 300)
      assert.deepStrictEqual(new Set(clientsOf(servers, assignment(servers, ids("client", 0, clients)))), new Set([1]))
    }
  })

  it.prop(
    "following changes one by one leads where starting from the result leads",
    [Schema.Array(Change)],
    ([changes]) => {
      const servers = ids("server", 0, 60)
      const clients = ids("client", 0, 60)
      const subset = Subset.make(options, "client-2")
      Subset.follow(subset, servers, clients)
      for (const { client, index } of changes) {
        const [list, id] = client ? [clients, `client-${index}`] : [servers, `server-${index}`]
        if (!list.delete(id)) list.add(id)
        Subset.follow(subset, servers, clients)
      }
      assert.deepStrictEqual(
        [...Subset.chosen(subset)].toSorted(),
        [...chosen("client-2", servers, clients)].toSorted()
      )
    }
  )
})
