/**
 * What a client keeps of a service, in bytes, and that it does not grow: 2 million picks with churn in `npm test`, as
 * many as `MUSTER_PICKS` says otherwise.
 */
import { assert, describe, it } from "@effect/vitest"
import { Attempt, type Endpoint, Explain, Outcome, Roster, Snapshot } from "@muster/core"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { defaults, endpoint, epoch } from "./fixtures/instances.ts"
import { seeded } from "./fixtures/seeded.ts"

setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as () => void

/** Bytes that are still in use after everything that nobody knows any more was thrown away. */
const bytes = () => {
  for (let n = 0; n < 3; n++) collect()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const instance = (n: number) => endpoint(`instance-${n}`, { port: 1 + (n % 60_000) })

const picks = Number(process.env["MUSTER_PICKS"] ?? 2_000_000)

describe("Growth", () => {
  it("keeps at most 600 bytes of an endpoint in a snapshot, beside the endpoint itself, and 1000 with all it learns", () => {
    const count = 10_000
    const endpoints: ReadonlyArray<Endpoint.Endpoint> = Array.from({ length: count }, (_, n) => instance(n))
    const before = bytes()
    const snapshot = Snapshot.make(endpoints)
    const ofSnapshot = (bytes() - before) / count
    const roster = Roster.make(defaults, () => undefined)
    Roster.apply(roster, snapshot, 0, epoch)
    const ofBoth = (bytes() - before) / count
    assert.strictEqual(roster.members.size, count)
    assert.isAtMost(ofSnapshot, 600)
    assert.isAtMost(ofBoth, 1000)
  })

  it(`F-c4: nothing grows over ${picks / 1e6} million picks while instances come, go, move, fail and are explained`, () => {
    const random = seeded(5)
    const roster = Roster.make(defaults, () => undefined)
    let snapshot = Snapshot.make(Array.from({ length: 1000 }, (_, n) => instance(n)))
    let now = 0
    Roster.apply(roster, snapshot, now, epoch)
    let arrived = 1000

    /** One left and another came; one moved. */
    const churn = () => {
      snapshot = Snapshot.apply(snapshot, [
        { _tag: "Removed", id: instance(arrived - 1000).id },
        { _tag: "Put", endpoint: instance(arrived) },
        { _tag: "Put", endpoint: endpoint(`instance-${arrived - 500}`, { port: 60_001 + (arrived % 5000) }) }
      ])
      arrived++
      Roster.apply(roster, snapshot, now, epoch + now)
    }

    const inFlight: Array<Attempt.Attempt> = []
    const outcomes: ReadonlyArray<Outcome.Outcome> = [
      Outcome.failed,
      Outcome.refused,
      Outcome.interrupted,
      { _tag: "PushedBack", retryAfter: 1000 }
    ]
    const work = (count: number) => {
      for (let n = 0; n < count; n++) {
        now += 0.1
        if (n % 1000 === 0) churn()
        if (n % 100_000 === 0) Explain.of(roster, now, { picks: () => 0, isHeld: () => false, listed: [] })
        const attempt = Attempt.pick(roster, now, random, n % 2 === 0)
        if (attempt !== undefined) inFlight.push(attempt)
        if (inFlight.length < 64) continue
        const at = Math.floor(random() * inFlight.length)
        const done = inFlight[at]
        const last = inFlight.pop()
        if (done === undefined || last === undefined) continue
        if (last !== done) inFlight[at] = last

        const x = random()
        const outcome = x < 0.04 ? outcomes[Math.floor(x * 100)] : undefined
        Attempt.settle(roster, done, outcome ?? Outcome.succeeded, now, random)
        if (outcome?._tag === "Failed") {
          const retry = Attempt.pick(roster, now, random, true, [done])
          if (retry !== undefined) Attempt.end(roster, retry)
        }
        Attempt.end(roster, done)
      }
    }

    // The first half is what the machine needs to settle.
    work(picks / 2)
    const before = bytes()
    work(picks / 2)
    assert.isAtMost(bytes() - before, 200_000)
    assert.strictEqual(roster.members.size, 1000)
    assert.isAtMost(roster.byAddress.size, 1000)
    assert.isAtMost(roster.load.slots, 1000 + 128)
    for (const attempt of inFlight) Attempt.end(roster, attempt)
    assert.strictEqual(roster.load.inFlight, 0)
  }, 300_000)
})
