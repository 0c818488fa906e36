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
  /** How many choices were made. */
  made: number
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

/** So many are remembered; a power of two. */
const length = 64

const stride = 8
const at = 0
const chosen = 1
const first = 2
const firstCost = 3
const second = 4
const secondCost = 5
/** The choice that the comparison was made for. */
const comparedFor = 6

const nobody = -1

/**
 * No choice yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (): Recent => ({ cells: new Float64Array(length * stride).fill(nobody), made: 0 })

/**
 * Notes what a policy compares for the choice that it is about to make, and what each of the two costs.
 *
 * @category combinators
 * @since 0.1.0
 */
export const compared = (self: Recent, one: number, other: number, costs: Float64Array): void => {
  const { cells, made } = self
  const base = (made & (length - 1)) * stride
  cells[base + first] = one
  cells[base + firstCost] = costs[0]
  cells[base + second] = other
  cells[base + secondCost] = costs[1]
  cells[base + comparedFor] = made
}

/**
 * Forgets what was compared for the choice that is about to be made: another one is.
 *
 * @category combinators
 * @since 0.1.0
 */
export const uncompared = ({ cells, made }: Recent): void => {
  cells[(made & (length - 1)) * stride + comparedFor] = nobody
}

/**
 * Notes the choice that was made.
 *
 * @category combinators
 * @since 0.1.0
 */
export const made = (self: Recent, slot: number, now: number): void => {
  const { cells } = self
  const base = (self.made++ & (length - 1)) * stride
  cells[base + at] = now
  cells[base + chosen] = slot
}

/**
 * Forgets a slot that is given to another instance.
 *
 * @category combinators
 * @since 0.1.0
 */
export const forget = ({ cells }: Recent, slot: number): void => {
  for (let base = 0; base < cells.length; base += stride) {
    for (const cell of [chosen, first, second]) if (cells[base + cell] === slot) cells[base + cell] = nobody
  }
}

/**
 * The last choices, at most 63 of them, the newest first.
 *
 * @category getters
 * @since 0.1.0
 */
export const list = ({ cells, made }: Recent): ReadonlyArray<Choice> =>
  Array.from({ length: Math.min(made, length - 1) }, (_, age) => made - 1 - age)
    .map((number) => ({ number, base: (number & (length - 1)) * stride }))
    .filter(({ base }) => cells[base + chosen] !== nobody)
    .map(({ base, number }) => ({
      at: cells[base + at],
      slot: cells[base + chosen],
      compared: [first, second]
        .filter((cell) => cells[base + comparedFor] === number && cells[base + cell] !== nobody)
        .map((cell) => ({ slot: cells[base + cell], cost: cells[base + cell + 1] }))
    }))
