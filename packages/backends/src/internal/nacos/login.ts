/**
 * The access token of a Nacos user: got by logging in, good for as long as the server said, less a tenth.
 *
 * One login at a time, whoever asks. A token that is refused is forgotten, so that the next request logs in again. With
 * neither user nor token there is nothing to send, which is right for servers without authorization.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { type RegistryErrorReason, Unauthenticated, Unavailable } from "@muster/core/RegistryError"
import type { Login } from "../access.ts"
import type * as Http from "../http.ts"

/** Tokens for requests. */
export interface Tokens {
  /** The token, empty where there is no login; `url` is the server to log in at. */
  readonly get: (url: string) => Effect.Effect<string, RegistryErrorReason>
  /** This one was refused; whether another one can be had. */
  readonly forget: (token: string) => Effect.Effect<boolean>
  /** Whether nobody ever logs in, so that the token costs no request. */
  readonly isFixed: boolean
}

const Granted = Schema.fromJsonString(
  Schema.Struct({ accessToken: Schema.NonEmptyString, tokenTtl: Schema.optionalKey(Schema.Finite) })
)
const decodeGranted = Schema.decodeUnknownOption(Granted)

/** Servers up to 2.x know the second path, later ones the first. */
const paths = ["/nacos/v3/auth/user/login", "/nacos/v1/auth/login"]

/** Tokens of this login, or this token for ever. */
export const make = Effect.fnUntraced(function* (
  http: Http.Http["Service"],
  login: Login | undefined,
  token: Redacted.Redacted | undefined
): Effect.fn.Return<Tokens> {
  if (login === undefined) {
    const fixed = token === undefined ? "" : Redacted.value(token)
    return { get: () => Effect.succeed(fixed), forget: () => Effect.succeed(false), isFixed: true }
  }
  const clock = yield* Clock.Clock
  const one = yield* Semaphore.make(1)
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  let held = { token: "", until: 0 }

  const ask = Effect.fnUntraced(function* (url: string): Effect.fn.Return<string, RegistryErrorReason> {
    const body = {
      type: "application/x-www-form-urlencoded",
      text: new URLSearchParams({ username: login.user, password: Redacted.value(login.password) }).toString()
    }
    for (const path of paths) {
      const answer = yield* http.call({ method: "POST", origin: url, path, headers: {}, body })
      if (answer.status === 404 || answer.status === 410) continue
      const granted = decodeGranted(answer.text)
      if (Option.isSome(granted)) {
        const ttl = Duration.toMillis(Duration.seconds(granted.value.tokenTtl ?? 18_000))
        held = { token: granted.value.accessToken, until: now() + ttl * 0.9 }
        return held.token
      }
      if (answer.status >= 500 && !/user/i.test(answer.text)) {
        return yield* new Unavailable({ message: `logging in: Nacos answered ${answer.status}` })
      }
      return yield* new Unauthenticated({
        message: `Nacos refuses the user ${login.user} (${answer.status}); give the right name and password`
      })
    }
    return yield* new Unauthenticated({
      message: `Nacos at ${url} knows no login; is its auth plugin the default one?`
    })
  })

  return {
    get: (url) => {
      const known = Effect.suspend(() => (now() < held.until ? Effect.succeed(held.token) : ask(url)))
      return Effect.suspend(() => (now() < held.until ? Effect.succeed(held.token) : one.withPermit(known)))
    },
    forget: (token) =>
      Effect.sync(() => {
        if (held.token === token) held = { token: "", until: 0 }
        return true
      }),
    isFixed: false
  }
})
