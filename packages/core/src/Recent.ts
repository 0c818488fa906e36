/**
 * The last choices of one service, and what was compared for them: what an explanation of the balancer shows.
 *
 * Numbers in one small typed array that is written round and round, because every request writes here. Instances are
 * slots of `Load`; what belongs to a slot that was given to another instance is forgotten.
 */

/**
 * The last choices of one service.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recent {
  readonly cells: Float64Array
  /** Where the cells of the choice begin that is about to be made. */
  next: number
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

/** So many are remembered, the one that is about to be made included; a power of two. */
const length = 64

const stride = 8
const at = 0
const chosen = 1
const first = 2
const firstCost = 3
const second = 4
const secondCost = 5

/** In place of `first`: nothing was compared. */
const nobody = -1
/** In place of a slot that was given to another instance. */
const forgotten = -2

/**
 * No choice yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (): Recent => ({ cells: new Float64Array(length * stride).fill(nobody), next: 0 })

/**
 * Notes what a policy compares for the choice that it is about to make, and what each of the two costs.
 *
 * @category combinators
 * @since 0.1.0
 */
export const compared = ({ cells, next }: Recent, one: number, other: number, costs: Float64Array): void => {
  cells[next + first] = one
  cells[next + firstCost] = costs[0]
  cells[next + second] = other
  cells[next + secondCost] = costs[1]
}

/**
 * Forgets what was compared for the choice that is about to be made: another one is.
 *
 * @category combinators
 * @since 0.1.0
 */
export const uncompared = ({ cells, next }: Recent): void => {
  cells[next + first] = nobody
}

/**
 * Notes the choice that was made.
 *
 * @category combinators
 * @since 0.1.0
 */
export const made = (self: Recent, slot: number, now: number): void => {
  const { cells, next } = self
  cells[next + at] = now
  cells[next + chosen] = slot
  self.next = (next + stride) & (length * stride - 1)
  uncompared(self)
}

/**
 * Forgets a slot that is given to another instance.
 *
 * @category combinators
 * @since 0.1.0
 */
export const forget = ({ cells }: Recent, slot: number): void => {
  for (let base = 0; base < cells.length; base += stride) {
    for (const cell of [chosen, first, second]) if (cells[base + cell] === slot) cells[base + cell] = forgotten
  }
}

/**
 * The last choices, at most 63 of them, the newest first.
 *
 * @category getters
 * @since 0.1.0
 */
export const list = ({ cells, next }: Recent): ReadonlyArray<Choice> =>
  Array.from({ length: length - 1 }, (_, age) => (next - (age + 1) * stride) & (length * stride - 1))
    .filter((base) => cells[base + chosen] >= 0)
    .map((base) => ({
      at: cells[base + at],
      slot: cells[base + chosen],
      compared: (cells[base + first] === nobody ? [] : [first, second])
        .filter((cell) => cells[base + cell] >= 0)
        .map((cell) => ({ slot: cells[base + cell], cost: cells[base + cell + 1] }))
    }))
