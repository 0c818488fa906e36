/**
 * What one slice says of each of its endpoints, for the port that a client wants.
 *
 * Ports belong to the slice: a name or a number is looked up in each one, because a rolling change of the container's
 * port gives two. A number is the pod's port and has to be among the slice's, unless that slice names no number at all.
 * Slices of host names (FQDN) have no defined meaning and are refused, as every proxy of Kubernetes does.
 */
import { isIPv4, isIPv6 } from "node:net"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Skipped } from "@muster/core/Change"
import { InstanceId } from "@muster/core/Endpoint"
import * as Target from "@muster/core/Target"
import type { Contents, EndpointJson, EndpointSlice, Port } from "./endpointSlice.ts"

/** The number or the name of a port; `undefined` is the first TCP port of each slice. */
export type Wanted = number | string | undefined

/**
 * `Ready` takes requests; `Draining` is on its way out and still answers, the last resort where nothing is ready;
 * `Out` takes none.
 */
type Condition = "Ready" | "Draining" | "Out"

/** What one slice says of one endpoint. */
export interface Candidate {
  readonly id: InstanceId
  /** The name of the slice. */
  readonly slice: string
  readonly host: string
  readonly port: number
  /** `host:port`, with brackets around an IPv6 host. */
  readonly address: string
  readonly isIPv6: boolean
  readonly condition: Condition
  readonly zone: string | undefined
  readonly pod: string | undefined
  readonly node: string | undefined
  readonly forZones: string
  readonly forNodes: string
}

/** The endpoints of a slice, and what of it cannot be used. */
export interface Reading {
  readonly candidates: ReadonlyArray<Candidate>
  readonly skipped: ReadonlyArray<Skipped>
}

const decodeId = Schema.decodeUnknownOption(InstanceId)

/** Reads a slice for the port that is wanted. */
export const readSlice = (slice: EndpointSlice, wanted: Wanted): Reading => {
  const whole = Result.flatMap(slice.contents, (contents) => {
    const port = contents.endpoints.length === 0 ? Result.succeed(0) : findPort(contents.ports, wanted)
    return Result.all([belongs(contents), port])
  })
  if (Result.isFailure(whole)) return { candidates: [], skipped: [{ key: slice.name, problem: whole.failure }] }
  const [contents, port] = whole.success
  const candidates: Array<Candidate> = []
  const skipped: Array<Skipped> = []
  for (const [index, endpoint] of contents.endpoints.entries()) {
    const read = Result.flatMap(endpoint, (json) => readEndpoint(slice.name, json, contents.addressType, port))
    if (Result.isSuccess(read)) candidates.push(read.success)
    else skipped.push({ key: `${slice.name}/endpoints/${index}`, problem: read.failure })
  }
  return { candidates, skipped }
}

const belongs = (contents: Contents): Result.Result<Contents, string> =>
  contents.addressType === "IPv4" || contents.addressType === "IPv6"
    ? Result.succeed(contents)
    : Result.fail(`addresses of type ${contents.addressType} cannot be used; IPv4 and IPv6 can`)

const isTcp = ({ protocol }: Port) => (protocol ?? "TCP") === "TCP"

/** The number to dial in this slice. */
const findPort = (all: ReadonlyArray<Port>, wanted: Wanted): Result.Result<number, string> => {
  const ports = all.filter(isTcp)
  const numbered = ports.filter(({ port }) => typeof port === "number")
  const found =
    typeof wanted === "number"
      ? numbered.length === 0
        ? wanted
        : numbered.find(({ port }) => port === wanted)?.port
      : numbered.find(({ name }) => wanted === undefined || name === wanted)?.port
  if (typeof found === "number" && found >= 1 && found <= 65_535) return Result.succeed(found)
  if (numbered.length === 0)
    return Result.fail("it names no TCP port number; name one yourself, as in k8s://ns/svc:8080")
  const known = numbered.map(
    ({ name, port }) => `${name === undefined || name === null || name === "" ? "" : `${name} = `}${port}`
  )
  return Result.fail(`it has no TCP port ${wanted}; it has ${known.join(", ")}`)
}

const readEndpoint = (
  slice: string,
  { addresses: [host], conditions, hints, nodeName, targetRef, zone }: EndpointJson,
  addressType: string,
  port: number
): Result.Result<Candidate, string> => {
  const isSix = addressType === "IPv6"
  if (!(isSix ? isIPv6(host) : isIPv4(host))) return Result.fail(`${JSON.stringify(host)} is no ${addressType} address`)
  const address = Target.formatAddress({ host, port })
  const id = decodeId(given(targetRef?.uid) ?? address)
  if (Option.isNone(id)) return Result.fail("the uid of its target is not an instance id")
  return Result.succeed({
    id: id.value,
    slice,
    host,
    port,
    address,
    isIPv6: isSix,
    condition: conditionOf(conditions ?? {}),
    zone: given(zone),
    pod: given(targetRef?.name),
    node: given(nodeName),
    forZones: names(hints?.forZones),
    forNodes: names(hints?.forNodes)
  })
}

/** As documented: unknown `ready` and `serving` count as true, unknown `terminating` as false. */
const conditionOf = ({ ready, serving, terminating }: NonNullable<EndpointJson["conditions"]>): Condition => {
  const isReady = ready ?? true
  if (terminating ?? false) return isReady || (serving ?? true) ? "Draining" : "Out"
  return isReady ? "Ready" : "Out"
}

const given = (text: string | null | undefined) => (text === null || text === "" ? undefined : text)

const names = (hints: ReadonlyArray<{ readonly name: string }> | null | undefined) =>
  (hints ?? []).map(({ name }) => name).join(",")
