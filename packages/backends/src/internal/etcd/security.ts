/** Who we are to etcd, and how we know that it is etcd. */
import * as Effect from "effect/Effect"
import { status } from "@grpc/grpc-js"
import type { Login, Tls } from "../access.ts"
import * as Credentials from "../grpcCredentials.ts"
import { GrpcError } from "./grpcError.ts"

export interface Access {
  readonly login: Login | undefined
  readonly tls: Tls | undefined
}

/** The credentials and the options of a new channel. */
export const channel = ({ tls }: Access) =>
  Effect.mapError(
    Credentials.make(tls),
    (cause) => new GrpcError({ code: status.INVALID_ARGUMENT, message: cause.message, cause })
  )
