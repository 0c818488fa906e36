/**
 * The servers of a simulated service: each has so many workers and one queue before them, first come, first served.
 *
 * The answer to a request is known when it arrives, because nothing overtakes in a queue. A server does the work of
 * callers that gave up as well, as real ones do. How a server behaves may be changed at any time.
 */
import * as Agenda from "./Agenda.ts"
import type { Random } from "./Seeded.ts"

/** How a request turned out, for its caller: only `answered` is no error. */
export const answered = 0
/** 502, 503, 504, a reset, or the deadline of the attempt. */
export const failed = 1
/** Nobody accepts connections. */
export const refused = 2
/** 429, or 503 with Retry-After: one second. */
export const pushedBack = 3
/** The caller gave up. */
export const gaveUp = 4
/** The application says 500, or gRPC's code Unknown. */
const broke = 5

export type Code = 0 | 1 | 2 | 3 | 4 | 5

export interface Server {
  /** Requests that are worked on at once. */
  readonly workers: number
  /** How long work of size 1 takes, milliseconds. */
  mean: number
  /** A server that just started is so many times slower … */
  cold: number
  /** … and as fast as it will be at this time. */
  warmFrom: number
  warmAt: number
  /** What it does instead of working: `undefined` works, `hangs` never answers. */
  mode: "works" | "hangs" | "fails" | "breaks" | "refuses"
  /** After how many milliseconds it fails; `undefined`: after doing the work. */
  failsAfter: number | undefined
  /** The share of requests that fail at random. */
  errors: number
  /** With so many requests waiting it pushes back instead. */
  room: number
  /** When each worker is free, and which one is first. */
  readonly free: Float64Array
  first: number
  /** Completions of what it accepted, for those who ask how busy it is. */
  readonly completions: Agenda.Agenda
  /** The last answer: how, and after how many milliseconds. */
  code: Code
  after: number
}

export const make = (fields: { readonly workers: number; readonly mean: number }): Server => ({
  ...fields,
  cold: 1,
  warmFrom: 0,
  warmAt: 0,
  mode: "works",
  failsAfter: 1,
  errors: 0,
  room: Infinity,
  free: new Float64Array(fields.workers),
  first: 0,
  completions: Agenda.make(),
  code: answered,
  after: 0
})

/** Takes a request of this size; the answer is in `code` and `after`. */
export const submit = (self: Server, now: number, size: number, random: Random): void => {
  if (self.mode === "hangs") return answer(self, answered, Infinity)
  if (self.mode === "refuses") return answer(self, refused, 0.2)
  const code = self.mode === "fails" ? failed : self.mode === "breaks" ? broke : answered
  if (code !== answered && self.failsAfter !== undefined) return answer(self, code, self.failsAfter)
  if (self.errors > 0 && random() < self.errors) return answer(self, failed, self.failsAfter ?? 1)
  if (inFlight(self, now) >= self.workers + self.room) return answer(self, pushedBack, 1)
  const end = startsAt(self, now) + size * pace(self, now)
  self.free[self.first] = end
  self.first = firstFree(self)
  Agenda.push(self.completions, end, 0)
  answer(self, code, end - now)
}

/** How long work of size 1 takes now. */
export const pace = (self: Server, now: number): number => {
  if (now >= self.warmAt) return self.mean
  const rest = (self.warmAt - now) / (self.warmAt - self.warmFrom)
  return self.mean * (1 + (self.cold - 1) * rest)
}

/** When a request that arrives now would be worked on. */
export const startsAt = (self: Server, now: number): number => Math.max(now, self.free[self.first])

/** How many requests it has accepted and not answered. */
export const inFlight = (self: Server, now: number): number => {
  while (Agenda.nextAt(self.completions) <= now) Agenda.pop(self.completions)
  return self.completions.size
}

const answer = (self: Server, code: Code, after: number): void => {
  self.code = code
  self.after = after
}

const firstFree = (self: Server): number => {
  const { free, workers } = self
  let first = 0
  for (let worker = 1; worker < workers; worker++) if (free[worker] < free[first]) first = worker
  return first
}
