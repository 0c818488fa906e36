/**
 * A set of instances to choose from, each as often as its weight says.
 *
 * Adding (on average), removing and drawing take constant time whatever the size and the weights: instances whose
 * weights lie within a factor of two form a group, a group is drawn by its total weight, and a member of it by
 * rejection, which needs less than two tries on average (Matias, Vitter and Ni, "Dynamic generation of discrete random
 * variates", 1993). When all weights are the same there is one group and no rejection. Members are slots of `Load`.
 */

interface Group {
  /** The power of two that no weight of this group exceeds, and that each exceeds by half. */
  readonly bound: number
  readonly slots: Array<number>
  /** How many of those are not at the place of their own number. */
  strays: number
  total: number
  /** How many weigh less than `bound`. */
  lighter: number
  /** No weight in this group has been greater. */
  heaviest: number
  /** Where a weighted round robin stands here, and how far behind its share the group is. */
  turn: number
  credit: number
}

/**
 * A weighted set of slots.
 *
 * @category models
 * @since 0.1.0
 */
export interface Candidates {
  size: number
  total: number
  /** Where round robin stands; negative before the first turn. */
  turn: number
  readonly groups: Array<Group>
  /** All members, where there are several and each is drawn as often as any other. */
  even: ReadonlyArray<number> | undefined
  /** Whether each of those is at the place of its own number: where there are many, looking it up is much of a pick. */
  isInOrder: boolean
  /** By slot: the weight, 0 for those that are not members. */
  readonly weights: Array<number>
  /** By slot: the place within its group. */
  readonly places: Array<number>
}

/**
 * The empty set.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (): Candidates => ({
  size: 0,
  total: 0,
  turn: -1,
  groups: [],
  even: undefined,
  isInOrder: false,
  weights: [],
  places: []
})

/**
 * Whether the slot is a member.
 *
 * @category predicates
 * @since 0.1.0
 */
export const has = (self: Candidates, slot: number): boolean => slot < self.weights.length && self.weights[slot] > 0

/**
 * Adds a slot that is not a member; `weight` is greater than 0.
 *
 * @category combinators
 * @since 0.1.0
 */
export const add = (self: Candidates, slot: number, weight: number): void => {
  while (self.weights.length <= slot) {
    self.weights.push(0)
    self.places.push(0)
  }
  const group = groupFor(self, weight)
  self.weights[slot] = weight
  append(self, group, slot)
  group.total += weight
  group.lighter += Number(weight < group.bound)
  group.heaviest = Math.max(group.heaviest, weight)
  self.total += weight
  self.size++
  findEven(self)
}

/** Puts a slot at the place of its own number if there is one, and who was there likewise: the last of them at the end. */
const append = (self: Candidates, group: Group, slot: number): void => {
  const end = group.slots.length
  let homeless = slot
  while (homeless < end) {
    const displaced = group.slots[homeless]
    put(self, group, homeless, homeless)
    homeless = displaced
  }
  put(self, group, homeless, end)
}

const put = (self: Candidates, group: Group, slot: number, place: number): void => {
  if (place < group.slots.length) group.strays -= Number(group.slots[place] !== place)
  group.strays += Number(slot !== place)
  group.slots[place] = slot
  self.places[slot] = place
}

/**
 * Removes a slot, if it is a member.
 *
 * @category combinators
 * @since 0.1.0
 */
export const remove = (self: Candidates, slot: number): void => {
  if (!has(self, slot)) return
  const weight = self.weights[slot]
  const group = groupFor(self, weight)
  const last = group.slots.pop() ?? slot
  group.strays -= Number(last !== group.slots.length)
  if (last !== slot) put(self, group, last, self.places[slot])
  self.weights[slot] = 0
  group.total -= weight
  group.lighter -= Number(weight < group.bound)
  if (group.slots.length === 0) self.groups.splice(self.groups.indexOf(group), 1)
  self.size--
  // Subtraction leaves a rounding error behind; the few totals are as quickly added up again.
  self.total = 0
  for (const { total } of self.groups) self.total += total
  findEven(self)
}

const findEven = (self: Candidates): void => {
  const group = self.size > 1 && self.groups.length === 1 && self.groups[0].lighter === 0 ? self.groups[0] : undefined
  self.even = group?.slots
  self.isInOrder = group?.strays === 0
}

/**
 * Whether there are several members and all are drawn equally often.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isEven = (self: Candidates): boolean => self.even !== undefined

/**
 * A member, each with the probability of its share of the total weight; the set must not be empty.
 *
 * @category getters
 * @since 0.1.0
 */
export const draw = (self: Candidates, random: () => number): number => {
  const { even } = self
  if (even === undefined) return drawByWeight(self, random)
  return even[(random() * even.length) | 0]
}

const drawByWeight = (self: Candidates, random: () => number): number => {
  let group = self.groups[0]
  if (self.groups.length > 1) {
    let rest = random() * self.total
    for (group of self.groups) {
      rest -= group.total
      if (rest < 0) break
    }
  }
  const { slots, bound, lighter } = group
  let x = random() * slots.length
  let index = Math.floor(x)
  if (lighter === 0) return slots[index]
  for (let tries = 0; tries < maxTries && (x - index) * bound >= self.weights[slots[index]]; tries++) {
    x = random() * slots.length
    index = Math.floor(x)
  }
  return slots[index]
}

/**
 * A member other than `first`, by weight among the rest; the set must have at least two members.
 *
 * @category getters
 * @since 0.1.0
 */
export const drawOther = (self: Candidates, first: number, random: () => number): number => {
  const slots = self.even ?? onlyTwo(self)
  if (slots === undefined) return drawUntilOther(self, first, random)
  const index = (random() * (slots.length - 1)) | 0
  return slots[index + Number(index >= self.places[first])]
}

const onlyTwo = ({ groups, size }: Candidates): ReadonlyArray<number> | undefined =>
  size === 2 && groups.length === 1 ? groups[0].slots : undefined

const drawUntilOther = (self: Candidates, first: number, random: () => number): number => {
  for (let tries = 0; tries < maxTries; tries++) {
    const other = draw(self, random)
    if (other !== first) return other
  }
  // `first` outweighs all others by far.
  return at(self, (indexOf(self, first) + 1) % self.size)
}

/**
 * The member at a place of the order in which round robin goes around.
 *
 * @category getters
 * @since 0.1.0
 */
export const at = (self: Candidates, index: number): number => {
  let rest = index
  for (const { slots } of self.groups) {
    if (rest < slots.length) return slots[rest]
    rest -= slots.length
  }
  return self.groups[0].slots[0]
}

/** So many rejections in a row happen once in 10^19 draws. */
const maxTries = 64

const indexOf = (self: Candidates, slot: number): number => {
  let before = 0
  for (const { slots } of self.groups) {
    if (slots[self.places[slot]] === slot) return before + self.places[slot]
    before += slots.length
  }
  return 0
}

const groupFor = (self: Candidates, weight: number): Group => {
  const bound = 2 ** Math.ceil(Math.log2(weight))
  const known = self.groups.find((group) => group.bound === bound)
  if (known !== undefined) return known
  const group = { bound, slots: [], strays: 0, total: 0, lighter: 0, heaviest: 0, turn: -1, credit: 0 }
  self.groups.push(group)
  return group
}
