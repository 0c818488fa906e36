/**
 * What is remembered of each flight, one request on its way to one server, by its number. Numbers are used again.
 */

export interface Flights {
  count: number
  readonly spare: Array<number>
  client: Int32Array
  server: Int32Array
  code: Uint8Array
  /** When this attempt was sent, and when its request began. */
  sentAt: Float64Array
  beganAt: Float64Array
  size: Float64Array
  /** The flights of the earlier attempts of the same request. */
  readonly earlier: Array<ReadonlyArray<number>>
}

export const make = (): Flights => ({
  count: 0,
  spare: [],
  client: new Int32Array(1024),
  server: new Int32Array(1024),
  code: new Uint8Array(1024),
  sentAt: new Float64Array(1024),
  beganAt: new Float64Array(1024),
  size: new Float64Array(1024),
  earlier: []
})

/** A number that no flight has. */
export const take = (self: Flights): number => {
  const flight = self.spare.pop() ?? self.count++
  if (flight >= self.client.length) grow(self)
  return flight
}

const grow = (self: Flights): void => {
  const length = 2 * self.client.length
  self.client = copy(self.client, new Int32Array(length))
  self.server = copy(self.server, new Int32Array(length))
  self.code = copy(self.code, new Uint8Array(length))
  self.sentAt = copy(self.sentAt, new Float64Array(length))
  self.beganAt = copy(self.beganAt, new Float64Array(length))
  self.size = copy(self.size, new Float64Array(length))
}

const copy = <A extends Int32Array | Uint8Array | Float64Array>(from: A, to: A): A => {
  to.set(from)
  return to
}
