/**
 * What will happen, in the order of its time: a binary heap in typed arrays. Nothing is allocated but to grow.
 */

export interface Agenda {
  size: number
  times: Float64Array
  items: Int32Array
}

export const make = (): Agenda => ({ size: 0, times: new Float64Array(1024), items: new Int32Array(1024) })

/** The time of what comes first; `Infinity` when nothing does. */
export const nextAt = (self: Agenda): number => (self.size === 0 ? Infinity : self.times[0])

export const push = (self: Agenda, time: number, item: number): void => {
  if (self.size === self.times.length) grow(self)
  const { times, items } = self
  let at = self.size++
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (times[parent] <= time) break
    times[at] = times[parent]
    items[at] = items[parent]
    at = parent
  }
  times[at] = time
  items[at] = item
}

/** Takes the item that comes first; there must be one. */
export const pop = (self: Agenda): number => {
  const { times, items } = self
  const first = items[0]
  const size = --self.size
  const time = times[size]
  const item = items[size]
  let at = 0
  while (true) {
    let child = 2 * at + 1
    if (child >= size) break
    if (child + 1 < size && times[child + 1] < times[child]) child++
    if (times[child] >= time) break
    times[at] = times[child]
    items[at] = items[child]
    at = child
  }
  times[at] = time
  items[at] = item
  return first
}

const grow = (self: Agenda): void => {
  const times = new Float64Array(self.times.length * 2)
  const items = new Int32Array(times.length)
  times.set(self.times)
  items.set(self.items)
  self.times = times
  self.items = items
}
