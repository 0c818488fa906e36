/**
 * The instances in use by zone, and how often a request goes to which: to one's own zone as far as its capacity suffices
 * for the clients there, and beyond that to other zones, by what they have left.
 *
 * Envoy's zone-aware routing: where the clients of a zone are the share `d` of all clients and its instances in use are
 * the share `s` of all capacity, min(1, s/d) of their requests stay, and the rest goes to zones with s > d in proportion
 * to s − d. If all clients do so, every instance has the same load per weight, whatever the zones look like. Policies
 * choose within a zone and know nothing of this. Without a zone of one's own, with one zone, or with few instances it
 * does nothing. The shares are found anew where something changed, when somebody asks.
 */
import * as Candidates from "./Candidates.ts"
import { hashOf, mix, unit } from "./internal/hash.ts"

/**
 * Where this client is, and when and how zones count.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The zone of this client; zones do not count without it. */
  readonly own: string | undefined
  /** How many clients each zone has, relative to the others; where nothing is said, as many as any other. */
  readonly clients: Readonly<Record<string, number>>
  /** With fewer instances in use, zones do not count. */
  readonly minimumSize: number
}

/**
 * The instances in use by zone.
 *
 * @category models
 * @since 0.1.0
 */
export interface Zones {
  readonly options: Options
  /** Those that have an instance, in use or not. Instances without a zone are in the zone "". */
  readonly zones: Map<string, Zone>
  /** By slot. */
  readonly bySlot: Array<Zone | undefined>
  /** Where requests go; `undefined` after a change. */
  division: ReadonlyArray<Part> | undefined
}

interface Zone {
  readonly name: string
  readonly inUse: Candidates.Candidates
  /** How many instances there are, in use or not. */
  size: number
}

interface Part {
  readonly zone: Zone
  readonly share: number
}

/**
 * No zone, no instance.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Zones => ({ options, zones: new Map(), bySlot: [], division: undefined })

/**
 * Says where an instance is, which is not in use at this moment.
 *
 * @category combinators
 * @since 0.1.0
 */
export const locate = (self: Zones, slot: number, name = ""): void => {
  if (self.options.own === undefined || self.bySlot[slot]?.name === name) return
  forget(self, slot)
  const zone = self.zones.get(name) ?? { name, inUse: Candidates.make(), size: 0 }
  self.zones.set(name, zone)
  self.bySlot[slot] = zone
  zone.size++
  self.division = undefined
}

/**
 * Forgets where an instance was, which is not in use any more.
 *
 * @category combinators
 * @since 0.1.0
 */
export const forget = (self: Zones, slot: number): void => {
  const zone = self.bySlot[slot]
  if (zone === undefined) return
  self.bySlot[slot] = undefined
  if (--zone.size === 0) self.zones.delete(zone.name)
  self.division = undefined
}

/**
 * Puts an instance in use.
 *
 * @category combinators
 * @since 0.1.0
 */
export const add = (self: Zones, slot: number, weight: number): void => {
  const zone = self.bySlot[slot]
  if (zone === undefined) return
  Candidates.add(zone.inUse, slot, weight)
  self.division = undefined
}

/**
 * Puts an instance out of use, if it was in use.
 *
 * @category combinators
 * @since 0.1.0
 */
export const remove = (self: Zones, slot: number): void => {
  const zone = self.bySlot[slot]
  if (zone === undefined || !Candidates.has(zone.inUse, slot)) return
  Candidates.remove(zone.inUse, slot)
  self.division = undefined
}

/**
 * Whether zones count.
 *
 * @category getters
 * @since 0.1.0
 */
export const isDivided = ({ options, zones }: Zones, all: Candidates.Candidates): boolean =>
  options.own !== undefined && all.size >= options.minimumSize && zones.size >= 2

/**
 * Whom a request may choose from: the instances of one zone, or `all` where zones do not count. Requests with the same
 * `key` go to the same zone; `random` is drawn from only where there is a choice of zones.
 *
 * @category getters
 * @since 0.1.0
 */
export const choose = (
  self: Zones,
  all: Candidates.Candidates,
  random: () => number,
  key?: string | undefined
): Candidates.Candidates => {
  const { own } = self.options
  if (own === undefined || !isDivided(self, all)) return all
  self.division ??= divide(self, own)
  const division = self.division
  if (division.length === 0) return all
  let index = 0
  if (division.length > 1) {
    let rest = key === undefined ? random() : unit(mix(hashOf(key), zoneOfKey))
    for (; index < division.length - 1; index++) {
      rest -= division[index].share
      if (rest < 0) break
    }
  }
  return division[index].zone.inUse
}

/** The zone of a key is chosen by other bits than its instance. */
const zoneOfKey = 1

const divide = (self: Zones, own: string): ReadonlyArray<Part> => {
  // In an order that is the same for all clients, who agree on where a key belongs.
  const zones = [...self.zones.values()].toSorted((one, other) => (one.name < other.name ? -1 : 1))
  const capacity = zones.reduce((sum, { inUse }) => sum + inUse.total, 0)
  const needs = needsOf(self, own)
  const surplus = (zone: Zone) => zone.inUse.total / capacity - (needs.get(zone.name) ?? 0)
  const home = zones.find(({ inUse, name }) => name === own && inUse.size > 0)
  const stays = home === undefined ? 0 : Math.min(1, home.inUse.total / capacity / (needs.get(own) ?? 0))
  if (home !== undefined && stays > 1 - dust) return [{ zone: home, share: 1 }]
  const others = zones.filter((zone) => zone.name !== own && surplus(zone) > dust)
  const left = others.reduce((sum, zone) => sum + surplus(zone), 0)
  const spilled = others.map((zone) => ({ zone, share: ((1 - stays) * surplus(zone)) / left }))
  return home === undefined ? spilled : [{ zone: home, share: stays }, ...spilled]
}

/** The share of all capacity that the clients of each zone need. */
const needsOf = ({ options, zones }: Zones, own: string): ReadonlyMap<string, number> => {
  const said = new Map(Object.entries(options.clients))
  const names = new Set([own, ...said.keys(), ...zones.keys()])
  const needs = Array.from(names, (name) => [name, said.get(name) ?? (name === "" ? 0 : 1)] as const)
  const sum = needs.reduce((total, [, clients]) => total + clients, 0)
  return new Map(needs.map(([name, clients]) => [name, sum === 0 ? 0 : clients / sum]))
}

/** What rounding alone leaves: it neither leaves the zone, nor is it capacity somewhere else. */
const dust = 1e-9
