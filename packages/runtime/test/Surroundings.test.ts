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
    const { of } = Surroundings.make(service)
    const expected = { request: 7, "muster.service": "orders", "muster.instance": "one" }
    assert.deepStrictEqual(Context.get(of(around, one), References.CurrentLogAnnotations), expected)
    assert.strictEqual(Context.get(of(around, one), Customer), "nobody")
    assert.strictEqual(Context.get(of(around, one, named), Customer), "not nobody")
    assert.deepStrictEqual(Context.get(of(around, one, named), References.CurrentLogAnnotations), expected)
  })

  it("makes it once for whoever asks again, and for each instance and each caller", () => {
    const around = Context.make(Customer, "alice")
    const { forget, of } = Surroundings.make(service)
    const first = of(around, one, named)
    assert.strictEqual(of(around, one, named), first)
    assert.notStrictEqual(of(around, other, named), first)
    assert.strictEqual(of(around, one, named), first)
    const bobs = of(Context.make(Customer, "bob"), one, named)
    assert.strictEqual(Context.get(bobs, Customer), "not bob")
    assert.strictEqual(Context.get(of(around, one, named), Customer), "not alice")
    const last = of(around, one, named)
    forget()
    assert.notStrictEqual(of(around, one, named), last)
  })

  it("keeps what belongs to 64 instances at most", () => {
    const around = Context.make(Customer, "alice")
    const { of } = Surroundings.make(service)
    const first = of(around, one)
    for (let n = 1; n < 64; n++) of(around, Endpoint.InstanceId.make(`i-${n}`))
    assert.strictEqual(of(around, one), first)
    of(around, other)
    assert.notStrictEqual(of(around, one), first)
  })
})
