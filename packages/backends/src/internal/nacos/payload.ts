/**
 * The one message of Nacos over gRPC, to and from protobuf: `Payload { Metadata metadata = 2; Any body = 3 }` with
 * `Metadata { string type = 3; map<string, string> headers = 7 }`, whose body is a request or an answer as JSON.
 *
 * Written out because it is all the protobuf there is. Fields that we do not know are passed over. What is cut short
 * fails: in the middle of a number here, which gRPC reports as a failure of the call, and else where its JSON is read.
 */

/** A request or an answer, and of which kind it is. */
export interface Payload {
  readonly type: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const varint = (value: number): ReadonlyArray<number> =>
  value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(Math.floor(value / 0x80))]

/** A field of the wire type 2: its bytes with their length before them. */
const field = (number: number, ...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const bytes = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(bytes.length)]), bytes])
}

const text = (number: number, value: string) => field(number, Buffer.from(value))

export const encode = ({ body, headers, type }: Payload): Buffer =>
  Buffer.concat([
    field(2, text(3, type), ...Object.entries(headers).map(([name, value]) => field(7, text(1, name), text(2, value)))),
    field(3, text(2, body))
  ])

/** The fields of a message that have a length, in order. */
const fields = (bytes: Buffer): ReadonlyArray<readonly [number, Buffer]> => {
  const found: Array<readonly [number, Buffer]> = []
  let at = 0
  const number = () => {
    let value = 0
    for (let scale = 1; ; scale *= 0x80) {
      const byte = bytes.readUInt8(at++)
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  while (at < bytes.length) {
    const tag = number()
    const wireType = tag % 8
    if (wireType === 0) number()
    const length = wireType === 2 ? number() : wireType === 1 ? 8 : wireType === 5 ? 4 : 0
    if (wireType === 2) found.push([Math.floor(tag / 8), bytes.subarray(at, at + length)])
    at += length
  }
  return found
}

const pick = (bytes: Buffer, number: number): Buffer =>
  fields(bytes).findLast(([found]) => found === number)?.[1] ?? Buffer.alloc(0)

export const decode = (bytes: Buffer): Payload => {
  const metadata = pick(bytes, 2)
  const headers = fields(metadata).flatMap(([number, entry]) =>
    number === 7 ? [[pick(entry, 1).toString(), pick(entry, 2).toString()] as const] : []
  )
  return {
    type: pick(metadata, 3).toString(),
    headers: Object.fromEntries(headers),
    body: pick(pick(bytes, 3), 2).toString()
  }
}
