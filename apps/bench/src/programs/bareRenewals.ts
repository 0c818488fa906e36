/**
 * As many instances renewed with undici's `request` alone, a hundredth of a second's share at a time, and nothing made of
 * the answers: `bareRenewals <registry> <host:port> <instances>`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { Pool } from "undici"
import * as Usage from "../Usage.ts"

const [name = "", address = "", instances = ""] = process.argv.slice(2)

type Sent = readonly [method: "POST" | "PUT", path: string, body?: string]

/** What registers an instance and what renews it. */
const requests: Readonly<Record<string, (n: number) => readonly [Sent, Sent]>> = {
  consul: (n) => [
    [
      "PUT",
      "/v1/agent/service/register",
      JSON.stringify({
        ID: `bare:${n}`,
        Name: "bare",
        Address: "127.0.0.1",
        Port: 4000 + n,
        Check: { CheckID: `bare-${n}`, TTL: "10s", Status: "passing" }
      })
    ],
    ["PUT", `/v1/agent/check/pass/bare-${n}`]
  ],
  nacosHttp: (n) => {
    const path = `/nacos/v3/client/ns/instance?serviceName=bare&ip=127.0.0.1&port=${4000 + n}&ephemeral=true`
    return [
      ["POST", path],
      ["POST", `${path}&heartBeat=true`]
    ]
  }
}

const program = Effect.gen(function* () {
  const pool = yield* Effect.acquireRelease(
    Effect.sync(() => new Pool(`http://${address}`, { connections: 8 })),
    (pool) => Effect.promise(() => pool.destroy())
  )
  const send = async ([method, path, body]: Sent) => {
    const answer = await pool.request({ method, path, body: body ?? null })
    await answer.body.text()
  }
  const all = Array.from({ length: Number(instances) }, (_, n) => requests[name]?.(n))
  const renewals: Array<Sent> = []
  for (const one of all) {
    if (one === undefined) continue
    yield* Effect.promise(() => send(one[0]))
    renewals.push(one[1])
  }
  let renewed = 0
  let next = 0
  const renew = Effect.sync(() => {
    for (let n = 0; n < (Number(instances) * 3) / 1000; n++) {
      const renewal = renewals[next++ % renewals.length]
      if (renewal !== undefined) void send(renewal).then(() => renewed++)
    }
  })
  yield* Effect.forkScoped(Effect.repeat(renew, Schedule.fixed("10 millis")))
  process.stdout.write("ready\n")
  yield* Usage.report(() => renewed)
})

program.pipe(Effect.scoped, Effect.provide(NodeServices.layer), NodeRuntime.runMain)
