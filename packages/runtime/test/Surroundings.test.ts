import { assert, describe, it } from "@effect/vitest"
import { Context, References } from "effect"
import { Endpoint } from "@muster/core"
import * as Surroundings from "../src/internal/surroundings.ts"

const Customer = Context.Reference<string>("test/Customer", { defaultValue: () => "nobody" })

const service = Endpoint.ServiceName.make("orders")
const [one, other] = ["one", "other"].map((id) => Endpoint.InstanceId.make(id))

const named: Surroundings.Provide = (around) => Context.add(around, Customer, `not ${Context.get(around, Customer)}`)

describe("Surroundings", () => {
  it("names the service and the instance beside what is around an attempt, and adds what it is told to", () => {
    const around = Context.make(References.CurrentLogAnnotations, { request: 7 })
    const { of, on } = Surroundings.make(service)
    const expected = { request: 7, "muster.service": "orders", "muster.instance": "one" }
    assert.deepStrictEqual(Context.get(on(of(around, undefined), one), References.CurrentLogAnnotations), expected)
    assert.strictEqual(Context.get(on(of(around, undefined), one), Customer), "nobody")
    assert.strictEqual(Context.get(on(of(around, named), one), Customer), "not nobody")
    assert.deepStrictEqual(Context.get(on(of(around, named), one), References.CurrentLogAnnotations), expected)
  })

  it("makes it once for whoever asks again, and for each instance and each caller", () => {
    const around = Context.make(Customer, "alice")
    const { of, on } = Surroundings.make(service)
    const first = on(of(around, named), one)
    assert.notStrictEqual(on(of(around, named), other), first)
    const bobs = on(of(Context.make(Customer, "bob"), named), one)
    assert.strictEqual(Context.get(bobs, Customer), "not bob")
    assert.strictEqual(on(of(around, named), one), first)
    assert.strictEqual(Context.get(first, Customer), "not alice")
  })

  it("keeps what belongs to 64 instances at most", () => {
    const { of, on } = Surroundings.make(service)
    const surroundings = of(Context.make(Customer, "alice"), undefined)
    const first = on(surroundings, one)
    for (let n = 1; n < 64; n++) on(surroundings, Endpoint.InstanceId.make(`i-${n}`))
    assert.strictEqual(on(surroundings, one), first)
    on(surroundings, other)
    assert.strictEqual(surroundings.byInstance.size, 1)
  })
})
