/**
 * The last choices of one service, and what was compared for them: what an explanation of the balancer shows.
 *
 * They are written round and round into the same few objects, because every request writes here. Instances are slots of
 * `Load`; what belongs to a slot that was given to another instance is forgotten.
 */

/**
 * The last choices of one service.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recent {
  /** The choice that is about to be made. */
  next: Noted
}

/**
 * What it would have cost to choose one of two rather than the other, and the other way round.
 *
 * @category models
 * @since 0.1.0
 */
export interface Costs {
  costOfOne: number
  costOfOther: number
}

/**
 * A choice as it is noted: which slot and when, and which two were compared.
 *
 * @category models
 * @since 0.1.0
 */
export interface Noted extends Costs {
  at: number
  slot: number
  one: number
  other: number
  /** The one that is written over next. */
  after: Noted
}

/**
 * One choice: when, in milliseconds on the clock of the roster; which slot; and what those that were compared by the
 * policy would have cost, none for a policy that compares nothing.
 *
 * @category models
 * @since 0.1.0
 */
export interface Choice {
  readonly at: number
  readonly slot: number
  readonly compared: ReadonlyArray<{ readonly slot: number; readonly cost: number }>
}

/** So many are remembered, the one that is about to be made included. */
const length = 64

/** In place of `one`: nothing was compared. */
const nobody = -1
/** In place of a slot that was given to another instance, or that nobody has been chosen for yet. */
const forgotten = -2

/** A class, because the last one has to come before the first. */
class Nothing implements Noted {
  at = NaN
  slot = forgotten
  one = nobody
  costOfOne = NaN
  other = nobody
  costOfOther = NaN
  after: Noted = this
}

/**
 * Room for the costs of two that nobody wants to see.
 *
 * @category constructors
 * @since 0.1.0
 */
export const costs = (): Costs => new Nothing()

/**
 * No choice yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (): Recent => {
  const last = new Nothing()
  let next: Noted = last
  for (let more = length - 1; more > 0; more--) next = Object.assign(new Nothing(), { after: next })
  last.after = next
  return { next }
}

/**
 * Notes which two a policy compares for the choice that it is about to make; what each of them costs belongs there too.
 *
 * @category combinators
 * @since 0.1.0
 */
export const compared = ({ next }: Recent, one: number, other: number): Noted => {
  next.one = one
  next.other = other
  return next
}

/**
 * Forgets what was compared for the choice that is about to be made: another one is.
 *
 * @category combinators
 * @since 0.1.0
 */
export const uncompared = ({ next }: Recent): void => {
  next.one = nobody
}

/**
 * Notes the choice that was made.
 *
 * @category combinators
 * @since 0.1.0
 */
export const made = (self: Recent, slot: number, now: number): void => {
  const { next } = self
  next.at = now
  next.slot = slot
  next.after.one = nobody
  self.next = next.after
}

/**
 * Forgets a slot that is given to another instance.
 *
 * @category combinators
 * @since 0.1.0
 */
export const forget = (self: Recent, slot: number): void => {
  for (const noted of all(self)) {
    if (noted.slot === slot) noted.slot = forgotten
    if (noted.one === slot) noted.one = forgotten
    if (noted.other === slot) noted.other = forgotten
  }
}

/**
 * The last choices, at most 63 of them, the newest first.
 *
 * @category getters
 * @since 0.1.0
 */
export const list = (self: Recent): ReadonlyArray<Choice> =>
  all(self)
    .slice(1)
    .toReversed()
    .filter(({ slot }) => slot !== forgotten)
    .map(({ at, costOfOne, costOfOther, one, other, slot }) => ({
      at,
      slot,
      compared: [
        { slot: one, cost: costOfOne },
        { slot: other, cost: costOfOther }
      ].filter(({ slot }) => one !== nobody && slot !== forgotten)
    }))

/** The one that is about to be made, then all others, the oldest first. */
const all = ({ next }: Recent): ReadonlyArray<Noted> => {
  const found = [next]
  for (let noted = next.after; noted !== next; noted = noted.after) found.push(noted)
  return found
}
