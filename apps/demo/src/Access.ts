/**
 * Who this program is to a registry, which a target cannot say: a token or a login in the environment, under the name
 * that is usual there, or under the one that the tests of the back ends know.
 */
import type { Access } from "@muster/backends/FromTarget"
import type { Target } from "@muster/core/Target"
import { Config, Effect, Option, Redacted } from "effect"

const secret = (...names: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    for (const name of names) {
      const found = yield* Effect.option(Config.String(name))
      if (Option.isSome(found) && found.value !== "") return Redacted.make(found.value)
    }
    return undefined
  })

/** The ACL token for Consul. */
export const consulToken = secret("CONSUL_HTTP_TOKEN", "MUSTER_TEST_CONSUL_TOKEN")

/** The user and the password, or the access token, for Nacos. */
const nacos = Effect.gen(function* () {
  const user = yield* secret("NACOS_USERNAME", "MUSTER_TEST_NACOS_USER")
  const password = yield* secret("NACOS_PASSWORD", "MUSTER_TEST_NACOS_PASSWORD")
  return {
    login: user === undefined ? undefined : { user: Redacted.value(user), password: password ?? Redacted.make("") },
    token: yield* secret("NACOS_TOKEN", "MUSTER_TEST_NACOS_TOKEN")
  }
})

/** What the environment says for a registry that may ask who we are; nothing for those that never do. */
export const of = ({ _tag }: Target): Effect.Effect<Access> => {
  switch (_tag) {
    case "Consul":
      return Effect.map(consulToken, (token) => ({ token }))
    case "Nacos":
      return nacos
    default:
      return Effect.succeed({})
  }
}
