import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Predicate } from "effect"
import { HttpClient, HttpClientError, HttpClientRequest } from "effect/http"
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createSecureServer } from "node:http2"
import { createServer } from "node:https"
import * as Http from "../src/internal/http.ts"
import * as HttpPool from "../src/internal/httpPool.ts"
import * as KubernetesFailure from "../src/internal/kubernetes/failure.ts"
import { certificate, temporary } from "./fixtures/files.ts"

const request: Http.Request = {
  method: "GET",
  origin: "http://certificates:8848",
  path: "/v1/health/service/certificates?accessToken=secret",
  headers: {}
}

const coded = (code: string, error: Error) => Object.assign(error, { code })
const refused = coded("ECONNREFUSED", new Error("connect ECONNREFUSED ::1:8848"))

/** What an exchange breaks off with, and what that is called: of each, the words that count. */
const causes: ReadonlyArray<readonly [unknown, string, string]> = [
  [refused, "Unavailable", "connect ECONNREFUSED"],
  [coded("ENOTFOUND", new Error("getaddrinfo ENOTFOUND certificates")), "Unavailable", "ENOTFOUND"],
  [coded("ECONNREFUSED", new AggregateError([refused, refused])), "Unavailable", "connect ECONNREFUSED ::1:8848"],
  [coded("ECONNREFUSED", new AggregateError([])), "Unavailable", "ECONNREFUSED"],
  [new TypeError("fetch failed", { cause: refused }), "Unavailable", "connect ECONNREFUSED"],
  [new Error("cannot read /certificates/ca.pem"), "Unavailable", "cannot read"],
  [coded("ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", new Error("alert certificate required")), "Unavailable", "alert"],
  [coded("CERT_HAS_EXPIRED", new Error("certificate has expired")), "Untrusted", "expired"],
  [coded("DEPTH_ZERO_SELF_SIGNED_CERT", new Error("self-signed certificate")), "Untrusted", "self-signed"],
  [coded("INVALID_PURPOSE", new Error("unsupported certificate purpose")), "Untrusted", "purpose"],
  [coded("ERR_TLS_CERT_ALTNAME_INVALID", new Error("Hostname/IP does not match")), "Untrusted", "Hostname"],
  [
    new TypeError("fetch failed", { cause: coded("CERT_HAS_EXPIRED", new Error("certificate has expired")) }),
    "Untrusted",
    "expired"
  ],
  [new TypeError("terminated", { cause: new Error() }), "Unavailable", "terminated"],
  ["other side closed", "Unavailable", "other side closed"]
]

/** An HttpClient of the user that fails with this. */
const failing = (cause: unknown) =>
  Http.layerClient.pipe(
    Layer.provide(
      Layer.succeed(
        HttpClient.HttpClient,
        HttpClient.make((request) =>
          Effect.fail(
            new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
          )
        )
      )
    )
  )

describe("asking over HTTP", () => {
  it("calls a certificate bad for Kubernetes by the same codes", () => {
    const url = "https://10.0.0.1:6443/apis"
    for (const [cause, tag] of causes.filter(([, tag]) => tag === "Untrusted")) {
      const reason = new HttpClientError.TransportError({ request: HttpClientRequest.get(url), cause })
      assert.strictEqual(KubernetesFailure.ofTransport(new HttpClientError.HttpClientError({ reason }))._tag, tag)
    }
  })

  for (const [cause, tag, words] of causes) {
    const name = Predicate.isError(cause) && "code" in cause ? cause.code : cause
    it.effect(`calls ${String(name)} ${tag}, and says: ${words}`, () =>
      Effect.gen(function* () {
        const { call } = yield* Http.Http
        for (const failure of [yield* Effect.flip(call(request)), Http.broken(request, cause)]) {
          assert.strictEqual(failure._tag, tag, failure.message)
          assert.include(failure.message, words)
          assert.match(failure.message, /^GET http:\/\/certificates:8848\/v1\/health\/service\/certificates: \S/)
          assert.notInclude(failure.message, "secret")
        }
      }).pipe(Effect.provide(failing(cause)))
    )
  }

  it.effect("says what kind of failure it was where a client gives no cause, and never the query", () =>
    Effect.gen(function* () {
      const { call } = yield* Http.Http
      const failure = yield* Effect.flip(call(request))
      assert.match(failure.message, /certificates: TransportError$/)
    }).pipe(Effect.provide(failing(undefined)))
  )

  it.live("F-a2: gives each exchange a connection of its own fate, also where the server has HTTP/2", () =>
    Effect.gen(function* () {
      const { ca, cert, key } = yield* certificate(yield* temporary)
      const server = yield* Effect.acquireRelease(
        Effect.callback<ReturnType<typeof createSecureServer>>((resume) => {
          const server = createSecureServer(
            { allowHTTP1: true, key: readFileSync(key), cert: readFileSync(cert) },
            (asked, answer) => answer.end(asked.httpVersion)
          )
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const ask = { ...request, origin: `https://127.0.0.1:${port}` }
      for (const tls of [{ ca }, { skipVerify: true }]) {
        yield* Effect.gen(function* () {
          const { call, wait } = yield* Http.Http
          assert.strictEqual((yield* call(ask)).text, "1.1")
          assert.strictEqual((yield* wait(ask, Duration.seconds(15))).text, "1.1")
        }).pipe(Effect.provide(HttpPool.layer(tls)))
      }
    })
  )

  it.live("F-g: a certificate and a key that do not match, while they are replaced, cost a call and nothing else", () =>
    Effect.gen(function* () {
      const { ca, cert, key } = yield* certificate(yield* temporary)
      const others = yield* certificate(yield* temporary)
      const server = yield* Effect.acquireRelease(
        Effect.callback<ReturnType<typeof createServer>>((resume) => {
          const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_, answer) => answer.end())
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const ask = { ...request, origin: `https://127.0.0.1:${port}` }
      const own = readFileSync(key)
      yield* Effect.gen(function* () {
        const { call, wait } = yield* Http.Http
        const failsWith = Effect.fnUntraced(function* (words: RegExp) {
          for (const one of [call(ask), wait(ask, Duration.seconds(15))]) {
            const failure = yield* Effect.flip(one)
            assert.strictEqual(failure._tag, "Unavailable", failure.message)
            assert.match(failure.message, words)
            assert.notInclude(failure.message, "\n")
          }
        })
        copyFileSync(others.key, key)
        yield* failsWith(/the certificates: .*key values mismatch/)
        writeFileSync(key, "")
        yield* failsWith(/the certificates: \S/)
        rmSync(key)
        yield* failsWith(/cannot read \S*key\.pem: .*ENOENT/)
        writeFileSync(key, own)
        assert.strictEqual((yield* call(ask)).status, 200)
        assert.strictEqual((yield* wait(ask, Duration.seconds(15))).status, 200)
      }).pipe(Effect.provide(HttpPool.layer({ ca, cert, key })))
    })
  )
})
