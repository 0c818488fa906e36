/**
 * What writable registries store: an endpoint as JSON text under a key made of its service and its id.
 *
 * Anything else that is found there is named with its problem and skipped, never repaired and never fatal.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Skipped } from "@muster/core/Change"
import { Endpoint, EndpointFromJson, InstanceId } from "@muster/core/Endpoint"

/** An entry as it was read. */
export type Entry = Endpoint | Skipped

const decodeJson = Schema.decodeResult(EndpointFromJson)
const decodeFields = Schema.decodeUnknownResult(Endpoint)
/** Whether a key's last part can be an instance id. */
export const isInstanceId = Schema.is(InstanceId)

/** Whether the entry could be read. */
export const isEndpoint = (entry: Entry): entry is Endpoint => !("problem" in entry)

/** Reads the text that was found under a service and an id. */
export const decode = (service: string, id: string, text: string): Entry => {
  if (!isInstanceId(id)) return unreadable(service, id, "the id in its key is not an instance id")
  const result = decodeJson(text)
  if (Result.isFailure(result)) return unreadable(service, id, result.failure.message)
  const endpoint = result.success
  if (endpoint.service === service && endpoint.id === id) return endpoint
  return unreadable(service, id, `it describes ${endpoint.service}/${endpoint.id}`)
}

/** Reads what somebody else says of an instance, in the fields of an endpoint. */
export const fromFields = (service: string, id: string, fields: Readonly<Record<string, unknown>>): Entry => {
  const result = decodeFields({ ...fields, service, id })
  return Result.isSuccess(result) ? result.success : unreadable(service, id, result.failure.message)
}

/** An entry that is named with its problem, on one line. */
export const unreadable = (service: string, id: string, problem: string): Skipped => ({
  key: `${service}/${id}`,
  ...(isInstanceId(id) ? { id } : {}),
  problem: problem.replaceAll(/\s+/g, " ")
})

/** The text that is stored for an endpoint. */
export const encode = Schema.encodeSync(EndpointFromJson)

/** The endpoints and the entries that could not be read, apart. */
export const partition = (entries: Iterable<Entry>) => {
  const endpoints: Array<Endpoint> = []
  const skipped: Array<Skipped> = []
  for (const entry of entries) {
    if (isEndpoint(entry)) endpoints.push(entry)
    else skipped.push(entry)
  }
  return { endpoints, skipped }
}
