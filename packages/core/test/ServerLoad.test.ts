import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { LoadReport, ServerLoad } from "@muster/core"

/** So many requests are answered one after the other, each finding `others` in flight. */
const served = (load: ServerLoad.ServerLoad, others: number, elapsed: number, times = 1) => {
  for (let n = 0; n < times; n++) ServerLoad.answered(load, others, elapsed)
}

describe("ServerLoad", () => {
  it("reports the other requests in flight, and the median latency at about as many", () => {
    const load = ServerLoad.make()
    served(load, 0, 10, 3)
    served(load, 5, 40, 5)
    served(load, 6, 90, 4)
    assert.deepStrictEqual(ServerLoad.report(load), { inFlight: 0, latency: 10 })
    for (let request = 0; request < 5; request++) ServerLoad.start(load)
    assert.deepStrictEqual(ServerLoad.report(load), { inFlight: 4, latency: 40 })
    for (let request = 0; request < 4; request++) ServerLoad.end(load)
    assert.deepStrictEqual(ServerLoad.report(load), { inFlight: 0, latency: 10 })
  })

  it("tells a request how many it found, which is what it is measured by", () => {
    const load = ServerLoad.make()
    assert.deepStrictEqual(
      [1, 2, 3].map(() => ServerLoad.start(load)),
      [0, 1, 2]
    )
  })

  it("forgets all but the latest 16 latencies at a load", () => {
    const load = ServerLoad.make()
    served(load, 0, 1000, 50)
    served(load, 0, 5, 16)
    assert.strictEqual(ServerLoad.report(load).latency, 5)
  })

  it("takes the latency of the nearest load where it has none, and 0 before the first answer", () => {
    const load = ServerLoad.make()
    assert.deepStrictEqual(ServerLoad.report(load), { inFlight: 0, latency: 0 })
    served(load, 100, 70)
    assert.strictEqual(ServerLoad.report(load).latency, 70)
  })
})

describe("LoadReport", () => {
  it.prop(
    "is understood as it was written",
    [
      Schema.Struct({
        inFlight: Schema.Literals([0, 1, 7, 999_999]),
        hundredths: Schema.Literals([0, 5, 1250, 12_345_678])
      })
    ],
    ([{ hundredths, inFlight }]) => {
      const report = { inFlight, latency: hundredths / 100 }
      assert.deepStrictEqual(LoadReport.parse(LoadReport.format(report)), report)
    }
  )

  it("is none when it says anything else", () => {
    for (const value of [
      "",
      "in-flight=1",
      "in-flight=-1, latency=1",
      "in-flight=1, latency=1e99",
      "in-flight=NaN, latency=1"
    ]) {
      assert.isUndefined(LoadReport.parse(value), value)
    }
  })
})
