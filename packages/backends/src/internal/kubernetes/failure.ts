/**
 * Why the API server did not do what it was asked to, in the words of `RegistryError`.
 *
 * `Expired` alone stays inside the back end: the history that a watch or a listing wanted to go on from is gone (410),
 * which a fresh listing repairs. A missing permission is told with the command that grants it.
 */
import * as Data from "effect/Data"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Reason from "@muster/core/RegistryError"
import * as Access from "../access.ts"

/** The history to go on from is gone. */
export class Expired extends Data.TaggedError("Expired") {}

/** Why a call failed. */
export type Failure = Reason.RegistryErrorReason | Expired

/** What was asked for. */
export interface Call {
  readonly verb: "list" | "watch"
  readonly namespace: string
}

const text = Schema.optionalKey(Schema.NullOr(Schema.String))

const Status = Schema.Struct({
  code: Schema.optionalKey(Schema.NullOr(Schema.Int)),
  message: text,
  details: Schema.optionalKey(
    Schema.NullOr(Schema.Struct({ retryAfterSeconds: Schema.optionalKey(Schema.NullOr(Schema.Finite)) }))
  )
})

/** The object by which the API tells a failure. */
export type Status = typeof Status.Type

const decodeStatus = Schema.decodeUnknownOption(Status)
const decodeStatusText = Schema.decodeUnknownOption(Schema.fromJsonString(Status))
const nothing: Status = {}

/** The failure that an object tells; whatever else stands in its place tells nothing. */
export const status = (object: unknown): Status => Option.getOrElse(decodeStatus(object), () => nothing)

/** The failure that the body of a response tells. */
export const statusText = (body: string): Status => Option.getOrElse(decodeStatusText(body), () => nothing)

/** What a code of HTTP, or the same code inside a watch, means for a call. */
export const ofStatus = (call: Call, code: number, { message: told }: Status): Failure => {
  const message = `the API server answered ${code}${told === undefined || told === null || told === "" ? "" : `: ${told}`}`
  switch (code) {
    case 401:
      return new Reason.Unauthenticated({ message: `${message}; are the credentials still valid?` })
    case 403: {
      const user = userOf(told ?? "")
      return user === anonymous
        ? new Reason.Unauthenticated({ message: `${unseen} (${message})` })
        : new Reason.PermissionDenied({ message: `${denial(call, user)} (${message})` })
    }
    case 404:
      return new Reason.Unreadable({ message: `${message}; EndpointSlices need Kubernetes 1.21 or newer` })
    case 410:
      return new Expired()
    case 429:
      return new Reason.Exhausted({ message })
    default:
      return code >= 500 ? new Reason.Unavailable({ message }) : new Reason.Unreadable({ message })
  }
}

const userOf = (told: string) => /User "([^"]+)"/.exec(told)?.[1]

/** Whom the API server takes everybody for who shows no credentials, if it answers him at all. */
const anonymous = "system:anonymous"

const unseen =
  "the API server saw no credentials of ours; does this user of the kubeconfig have a token, a certificate or a program? " +
  "tokenFile is not read"

/** What is not allowed, to whom, and the two commands that allow it. */
const denial = ({ namespace, verb }: Call, user: string | undefined): string => {
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user ?? "")
  const subject =
    account !== null
      ? `--serviceaccount=${account[1]}:${account[2]}`
      : `--user='${user ?? "<the user of the kubeconfig>"}'`
  const kubectl = `kubectl --namespace=${namespace} create`
  return (
    `${user ?? "this client"} may not ${verb} endpointslices in namespace ${namespace}; grant it with: ` +
    `${kubectl} role muster-client --verb=get,list,watch --resource=endpointslices.discovery.k8s.io && ` +
    `${kubectl} rolebinding muster-client --role=muster-client ${subject}`
  )
}

const clientCertificate = /ALERT_(BAD_CERTIFICATE|CERTIFICATE_|UNKNOWN_CA|ACCESS_DENIED|UNSUPPORTED_CERTIFICATE)/

/** What went wrong below HTTP, or in the middle of a body. */
export const ofTransport = (error: HttpClientError.HttpClientError): Reason.RegistryErrorReason => {
  const { code, message } = rootOf(error)
  if (Access.badCertificate.test(code)) {
    return new Reason.Untrusted({ message: `the certificate of the API server is not valid: ${message}`, cause: error })
  }
  if (clientCertificate.test(code)) {
    return new Reason.Unauthenticated({ message: `the API server refused our certificate: ${message}`, cause: error })
  }
  if (error.reason._tag === "InvalidUrlError") {
    return new Reason.Unreadable({ message: `the address of the API server is no URL: ${message}`, cause: error })
  }
  return new Reason.Unavailable({ message: `the API server cannot be reached: ${message}`, cause: error })
}

/** The innermost cause that names itself. */
const rootOf = (error: unknown): { readonly code: string; readonly message: string } => {
  let root = { code: "", message: String(error) }
  for (let next: unknown = error, depth = 0; next instanceof Error && depth < 8; next = innerOf(next), depth++) {
    const code = "code" in next && typeof next.code === "string" ? next.code : root.code
    root = { code, message: next.message === "" ? code : next.message }
  }
  return root
}

const innerOf = (error: Error): unknown => {
  if (error instanceof AggregateError) return error.errors[0]
  if ("reason" in error) return error.reason
  return error.cause
}
