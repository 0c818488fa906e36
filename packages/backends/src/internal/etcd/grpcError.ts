/**
 * What a call to etcd failed with, and what the caller can do about it.
 *
 * etcd3 throws one class for each status and hides its code, streams fail with the raw status: both have "code NAME:
 * details" somewhere in their message, so that is what is read. Everything that etcd means but has no code for is told by its
 * text, in this file and nowhere else.
 */
import * as Data from "effect/Data"
import * as Reason from "@muster/core/RegistryError"
import { status } from "@grpc/grpc-js"
import { plain } from "../grpcDetails.ts"

export class GrpcError extends Data.TaggedError("GrpcError")<{
  readonly code: status
  readonly message: string
  readonly cause?: unknown
}> {}

export const fromUnknown = (cause: unknown): GrpcError => {
  const text = cause instanceof Error ? cause.message : String(cause)
  const [, code, details = text] = /\b(\d{1,2}) [A-Z_]+: ([^]*)$/.exec(text) ?? []
  return new GrpcError({ code: code === undefined ? status.UNKNOWN : Number(code), message: plain(details), cause })
}

/** A watch that is refused says why in text alone. */
export const fromReason = (reason: string): GrpcError => new GrpcError({ code: codeOf(reason), message: reason })

const codeOf = (reason: string) => {
  if (/permission denied/.test(reason)) return status.PERMISSION_DENIED
  if (/auth token|authentication|user name/.test(reason)) return status.UNAUTHENTICATED
  return status.UNAVAILABLE
}

export const unavailable = (message: string) => new GrpcError({ code: status.UNAVAILABLE, message })
export const timedOut = (message: string) => new GrpcError({ code: status.DEADLINE_EXCEEDED, message })

/** The revision that was asked for is not there any more, or not yet. */
export const isOutOfRange = ({ code }: GrpcError) => code === status.OUT_OF_RANGE
export const isDenied = ({ code }: GrpcError) => code === status.PERMISSION_DENIED
export const isLeaseTaken = ({ message }: GrpcError) => /lease already exists/.test(message)
export const isLeaseGone = ({ message }: GrpcError) => /requested lease not found/.test(message)
export const isAuthOff = ({ message }: GrpcError) => /authentication is not enabled/.test(message)

/** The token expired, or was given out before the permissions changed: another one may do. */
export const isStaleToken = ({ message }: GrpcError) =>
  /invalid auth token|revision of auth store is old|user name is empty|token is not provided/.test(message)

/** Whether another member, or the same one over another connection, may answer. */
export const isMemberAtFault = ({ code }: GrpcError) =>
  code === status.UNAVAILABLE ||
  code === status.DEADLINE_EXCEEDED ||
  code === status.CANCELLED ||
  code === status.UNKNOWN ||
  code === status.INTERNAL

/** Whether sending the same again may work: over another connection, or with another token. */
export const mayPassElsewhere = (error: GrpcError) => isMemberAtFault(error) || isStaleToken(error)

const isUntrusted = (message: string) => /certificate|altname|Hostname\/IP/i.test(message) && !/alert/i.test(message)

const isRefusedCertificate = (message: string) => /alert/i.test(message) && /certificate|unknown.ca/i.test(message)

/** The reason to tell, with what to do where that is not plain. */
export const toReason = (error: GrpcError): Reason.RegistryErrorReason => {
  const { code, message } = error
  const fields = { message, cause: error.cause ?? error }
  if (isLeaseGone(error)) return new Reason.LeaseLost(fields)
  if (isStaleToken(error)) {
    return new Reason.Unauthenticated({ ...fields, message: `${message}; does it ask for a user and a password?` })
  }
  if (/authentication failed/.test(message)) {
    return new Reason.Unauthenticated({ ...fields, message: `wrong user or password (${message})` })
  }
  if (isRefusedCertificate(message)) {
    return new Reason.Unauthenticated({ ...fields, message: `our certificate is not accepted (${message})` })
  }
  if (isUntrusted(message)) return new Reason.Untrusted({ ...fields, message: `its certificate: ${message}` })
  switch (code) {
    case status.UNAUTHENTICATED:
      return new Reason.Unauthenticated(fields)
    case status.PERMISSION_DENIED:
      return new Reason.PermissionDenied({ ...fields, message: `${message}; grant the role this key` })
    case status.DEADLINE_EXCEEDED:
      return new Reason.TimedOut(fields)
    case status.RESOURCE_EXHAUSTED:
      return new Reason.Exhausted(fields)
    case status.UNIMPLEMENTED:
    case status.INVALID_ARGUMENT:
    case status.FAILED_PRECONDITION:
      return new Reason.Unreadable(fields)
    default:
      return new Reason.Unavailable(fields)
  }
}

/** Whether waiting and trying again may help without anybody acting. */
export const isTransient = (error: GrpcError) => {
  const { _tag } = toReason(error)
  return _tag === "Unavailable" || _tag === "TimedOut" || _tag === "Exhausted"
}
