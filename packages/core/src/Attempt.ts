/**
 * One request on its way to an instance: how the instance is chosen, and what is learned from how it went.
 *
 * `pick` counts the request in flight, `settle` takes note of the outcome as soon as it is known, and `end` follows when
 * nothing of the answer is outstanding any more. Synchronous, with time and randomness passed in; where all is well,
 * an attempt costs one small object and no event.
 */
import * as Candidates from "./Candidates.ts"
import * as Health from "./Health.ts"
import * as Load from "./Load.ts"
import * as Outcome from "./Outcome.ts"
import * as Recent from "./Recent.ts"
import * as Roster from "./Roster.ts"
import * as Zones from "./Zones.ts"

/**
 * One request on its way to an instance.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attempt {
  readonly member: Roster.Member
  readonly slot: number
  readonly startedAt: number
  /** Whether this request finds out if an ejected instance is well again. */
  readonly isProbe: boolean
  /** How it turned out, once that is known. */
  outcome: Outcome.Outcome | undefined
  ended: boolean
}

/**
 * Chooses an instance and counts a request in flight there, or says that there is none.
 *
 * `after` are the earlier attempts of the same request: their instances are left out, nothing is probed, and unless
 * they were all refused, an instance that asked to be left alone is none. `repeatable` says that the request may be sent
 * again if it fails; others are kept from probing as long as possible. `key` says which requests belong together.
 *
 * @category combinators
 * @since 0.1.0
 */
export const pick = (
  self: Roster.Roster,
  now: number,
  random: () => number,
  repeatable: boolean,
  after?: ReadonlyArray<Attempt>,
  key?: string | undefined
): Attempt | undefined => {
  const isFirst = after === undefined || after.length === 0
  const isDue = isFirst && now >= (repeatable ? self.probeAt : self.lateProbeAt)
  const due = isDue ? probe(self, now, repeatable) : undefined
  let slot = isFirst ? due : elsewhere(self, now, random, after, key)
  if (isFirst && slot === undefined) {
    const from = self.from ?? Zones.choose(self.zones, self.inUse, random, key)
    if (from.size === 0) return undefined
    slot = self.options.policy(from, self.load, now, random, key)
    if (!Load.isPlain(self.load, slot)) slot = spare(self, from, slot, now, random, key)
  }
  if (slot === undefined) return undefined
  Load.start(self.load, slot)
  Recent.made(self.load.recent, slot, now)
  return {
    member: self.bySlot[slot],
    slot,
    startedAt: now,
    isProbe: due !== undefined,
    outcome: undefined,
    ended: false
  }
}

/**
 * Takes note of how an attempt turned out; `random` is drawn from only where an instance is taken out.
 *
 * What goes wrong after the instance has answered is told by settling again: it counts, but its time does not.
 *
 * @category combinators
 * @since 0.1.0
 */
export const settle = (
  self: Roster.Roster,
  attempt: Attempt,
  outcome: Outcome.Outcome,
  now: number,
  random: () => number
): void => {
  const { slot } = attempt
  const since = attempt.outcome === undefined ? attempt.startedAt : now
  attempt.outcome = outcome
  if (attempt.ended && attempt.member.departed) return
  if (!Load.recordPlain(self.load, slot, outcome, since, now)) examine(self, attempt, outcome, since, now, random)
}

/**
 * Counts the request in flight no more; once, however often it is called.
 *
 * @category combinators
 * @since 0.1.0
 */
export const end = (self: Roster.Roster, attempt: Attempt): void => {
  if (attempt.ended) return
  attempt.ended = true
  Load.end(self.load, attempt.slot)
}

/** Sends the request to an instance that has been out for long enough. */
const probe = (self: Roster.Roster, now: number, repeatable: boolean): number | undefined => {
  for (let index = 0; index < self.ejected.size; index++) {
    const slot = Candidates.at(self.ejected, index)
    const member = self.bySlot[slot]
    if (now < Health.probeAt(member.health, repeatable)) continue
    Roster.dispatch(self, member, { _tag: "ProbeStarted", at: now })
    return slot
  }
  return undefined
}

/**
 * Where a field has held objects of one shape only, V8 looks at the shape of each object that it stores there: with many
 * instances that missed the cache twice and took a quarter of a pick. One attempt that holds nothing, and that is kept,
 * teaches it to look no more.
 */
probe.nothing = { member: undefined, slot: 0, startedAt: undefined, isProbe: false, outcome: undefined, ended: false }

/** The earlier ones step aside; then what is ejected, draining or without weight is better than nothing. */
const elsewhere = (
  self: Roster.Roster,
  now: number,
  random: () => number,
  after: ReadonlyArray<Attempt>,
  key: string | undefined
): number | undefined => {
  const wasRefused = after.every(({ outcome }) => outcome?._tag === "Refused")
  const tried = new Set(after.flatMap(({ member }) => (member.departed ? [] : [member.slot])))
  for (const from of [self.inUse, self.ejected, self.reserve]) {
    const slot = choose(self, from, now, random, key, tried, wasRefused)
    if (slot !== undefined) return slot
  }
  return undefined
}

/**
 * Who is asked instead if the choice asked to be left alone, in its zone or else in any, unless most of what is asked there
 * fails.
 */
const spare = (
  self: Roster.Roster,
  from: Candidates.Candidates,
  slot: number,
  now: number,
  random: () => number,
  key: string | undefined
): number => {
  if (!Load.isPushedBack(self.load, slot, now)) return slot
  for (const others of new Set([from, self.inUse])) {
    const other = choose(self, others, now, random, key, [slot], false)
    if (other !== undefined && Load.failureRate(self.load, other, now) <= 1 / 2) return other
  }
  Recent.uncompared(self.load.recent)
  return slot
}

/**
 * Whom the policy chooses if those that were `tried` step aside for a moment; and so does, one after the other, who asked
 * to be left alone, unless that does not matter.
 */
const choose = (
  self: Roster.Roster,
  from: Candidates.Candidates,
  now: number,
  random: () => number,
  key: string | undefined,
  tried: Iterable<number>,
  whoever: boolean
): number | undefined => {
  const aside: Array<readonly [slot: number, weight: number]> = []
  const step = (slot: number) => {
    aside.push([slot, from.weights[slot]])
    Candidates.remove(from, slot)
  }
  try {
    for (const slot of tried) if (Candidates.has(from, slot)) step(slot)
    for (let draws = 0; from.size > 0 && draws < maxDraws; draws++) {
      Recent.uncompared(self.load.recent)
      const slot = self.options.policy(from, self.load, now, random, key)
      if (whoever || !Load.isPushedBack(self.load, slot, now)) return slot
      step(slot)
    }
    return undefined
  } finally {
    for (const [slot, weight] of aside) Candidates.add(from, slot, weight)
  }
}

/** Where so many in a row asked to be left alone, the service does; so a choice costs the same however many there are. */
const maxDraws = 32

/** Where there is more to know of the instance: takes note of it, and of what it means for its health. */
const examine = (
  self: Roster.Roster,
  { isProbe, member, slot }: Attempt,
  outcome: Outcome.Outcome,
  since: number,
  now: number,
  random: () => number
): void => {
  Load.record(self.load, slot, outcome, since, now)
  if (member.departed || (Outcome.isHarmless(outcome) && !Load.isWatched(self.load, slot))) return
  switch (member.health._tag) {
    case "Ejected":
      return
    case "Probing":
      return isProbe ? settleProbe(self, member, outcome, now - since, now, random) : undefined
    case "Warming":
      if (now >= member.health.until) Roster.dispatch(self, member, { _tag: "Ticked", at: now })
  }
  if (!Outcome.isHarmless(outcome)) judge(self, member, outcome, now, random)
}

/** A probe that was given up after so many times what an answer of the others usually takes has failed. */
const late = 2

const settleProbe = (
  self: Roster.Roster,
  member: Roster.Member,
  outcome: Outcome.Outcome,
  elapsed: number,
  now: number,
  random: () => number
): void => {
  switch (outcome._tag) {
    case "Interrupted":
      // Callers with little time would be lost on one that hangs, each of them as the next probe.
      return elapsed > late * Load.usualLatency(self.load, member.slot)
        ? judge(self, member, outcome, now, random)
        : Roster.dispatch(self, member, { _tag: "ProbeCancelled", at: now })
    case "Succeeded":
      Load.pardon(self.load, member.slot, elapsed, now)
      return Roster.dispatch(self, member, { _tag: "Succeeded", at: now })
    default:
      return judge(self, member, outcome, now, random)
  }
}

/** Takes an instance out that failed once too often. */
const judge = (
  self: Roster.Roster,
  member: Roster.Member,
  outcome: Outcome.Outcome,
  now: number,
  random: () => number
): void => {
  const evidence = { refused: outcome._tag === "Refused", ...Load.evidence(self.load, member.slot) }
  if (Health.isInUse(member.health) && !Health.isUnfit(self.options.health, evidence)) return
  const isCandidate = Candidates.has(self.inUse, member.slot)
  const room = isCandidate && Health.hasRoom(self.options.health, Roster.total(self), self.ejected.size)
  Roster.dispatch(self, member, { _tag: "Failed", at: now, evidence, room, jitter: random() })
}
