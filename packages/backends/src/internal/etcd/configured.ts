/**
 * Options of etcd from elsewhere: from the environment, and from the block of a go-zero configuration.
 *
 * What is not set is left out.
 */
import * as Config from "effect/Config"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Target from "@muster/core/Target"
import type { Options } from "../../Etcd.ts"
import { loginOf, ofGoZero, tlsOf } from "../access.ts"

const maybe = <A>(config: Config.Config<A>) => Config.map(Config.option(config), Option.getOrUndefined)

const scheme = /^https?:\/\//

/** One member; a port is never guessed. */
const Host = Schema.Trim.check(
  Schema.makeFilter((text) => {
    const target = Option.getOrUndefined(Result.getSuccess(Target.parse(`direct:///${text.replace(scheme, "")}`)))
    const isOne = target?._tag === "Direct" && target.addresses.length === 1
    return isOne || "a host and a port, as in etcd-1:2379 or https://etcd-1:2379"
  })
)

export const config: Config.Config<Options> = Config.all({
  hosts: Config.Array(Host, "HOSTS"),
  layout: maybe(Config.Literals(["muster", "go-zero", "grpc"], "LAYOUT")),
  prefix: maybe(Config.NonEmptyString("PREFIX")),
  key: maybe(Config.NonEmptyString("KEY")),
  id: maybe(Config.Int("ID")),
  ttl: maybe(Config.Duration("TTL")),
  user: maybe(Config.NonEmptyString("USER")),
  password: maybe(Config.Redacted("PASSWORD")),
  tls: Config.all({
    ca: maybe(Config.NonEmptyString("CA_FILE")),
    cert: maybe(Config.NonEmptyString("CERT_FILE")),
    key: maybe(Config.NonEmptyString("KEY_FILE")),
    serverName: maybe(Config.NonEmptyString("SERVER_NAME")),
    skipVerify: maybe(Config.Boolean("SKIP_VERIFY"))
  })
}).pipe(
  Config.nested("ETCD"),
  Config.map(({ password, tls, user, ...others }) => ({ ...others, login: loginOf(user, password), tls: tlsOf(tls) }))
)

export const fromGoZero = (configured: Target.Configured): Options | undefined => {
  const { target } = configured
  if (target._tag !== "EtcdKey") return undefined
  return {
    hosts: target.hosts.map(Target.formatAddress),
    layout: "go-zero",
    key: target.key,
    ...ofGoZero(configured)
  }
}
