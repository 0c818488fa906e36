/**
 * The instances of one service as one client sees them: who is there, what was learned of each, and where it stands.
 *
 * `apply` follows a snapshot; `Attempt` chooses among the members and reports how it went. What was learned belongs to
 * the process behind an instance id: it survives every change of the list and of the address, and is forgotten when the
 * id leaves or a later `startedAt` shows that another process took the id over. One address is one candidate.
 * No fiber, no clock, no randomness of its own; `dispatch` is the one writer of health.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Candidates from "./Candidates.ts"
import type { Endpoint, InstanceId } from "./Endpoint.ts"
import * as Health from "./Health.ts"
import { hashOf } from "./internal/hash.ts"
import * as Load from "./Load.ts"
import type * as Pick from "./Pick.ts"
import * as Policy from "./Policy.ts"
import * as Recent from "./Recent.ts"
import * as Snapshot from "./Snapshot.ts"
import * as Zones from "./Zones.ts"

/**
 * How a roster chooses, measures and judges.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly policy: Pick.Policy
  readonly load: Load.Options
  readonly health: Health.Options
  readonly warmUp: { readonly duration: Duration.Duration; readonly floor: number }
  readonly zones: Zones.Options
}

/**
 * The options that the policies in force ask for.
 *
 * @category constructors
 * @since 0.1.0
 */
export const options: Effect.Effect<Options> = Effect.gen(function* () {
  const latency = yield* Policy.Latency
  const failures = yield* Policy.Failures
  const health = yield* Policy.Ejection
  return {
    policy: yield* Policy.Choose,
    load: {
      memory: latency.memory,
      tau: Duration.toMillis(latency.tau),
      firstEstimate: Duration.toMillis(latency.firstEstimate),
      answersToWarm: latency.answersToWarm,
      answersToKnow: latency.answersToKnow,
      requestsToForget: latency.requestsToForget,
      noise: latency.noise,
      jitter: Duration.toMillis(latency.jitter),
      failureTau: Duration.toMillis(failures.tau),
      failureMemory: failures.memory,
      window: Duration.toMillis(health.window),
      maxPushBack: Duration.toMillis(failures.maxPushBack)
    },
    health,
    warmUp: yield* Policy.WarmUp,
    zones: { own: yield* Policy.Zone, ...(yield* Policy.Spill) }
  }
})

/**
 * One instance, and what this client made of it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Member {
  readonly id: InstanceId
  readonly slot: number
  endpoint: Endpoint
  health: Health.Health
  departed: boolean
}

/**
 * Something that happened to an instance. `at` is in milliseconds since the start of the log.
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | { readonly _tag: "Joined"; readonly at: number; readonly endpoint: Endpoint; readonly health: Health.Health }
  | { readonly _tag: "Left"; readonly at: number; readonly endpoint: Endpoint }
  | {
      readonly _tag: "HealthChanged"
      readonly at: number
      readonly endpoint: Endpoint
      readonly event: Health.Event
      readonly before: Health.Health
      readonly health: Health.Health
    }

/**
 * The instances of one service as one client sees them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Roster {
  readonly options: Options
  readonly load: Load.Load
  readonly members: Map<InstanceId, Member>
  snapshot: Snapshot.Snapshot
  /** Whether a first snapshot was applied. */
  loaded: boolean
  /** What a pick chooses from; in a panic the ejected ones as well. */
  readonly inUse: Candidates.Candidates
  /** The same by zone. */
  readonly zones: Zones.Zones
  readonly ejected: Candidates.Candidates
  /** Draining or without weight: used when there is nothing else. */
  readonly reserve: Candidates.Candidates
  /** Whom a request may choose from; undefined where each request chooses a zone first. */
  from: Candidates.Candidates | undefined
  panic: boolean
  /** When the next probe may be sent; for requests that cannot be sent again, later. */
  probeAt: number
  lateProbeAt: number
  readonly bySlot: Array<Member>
  /** Who claims an address; the first one is the one that counts. */
  readonly byAddress: Map<string, ReadonlyArray<Member>>
  readonly step: (health: Health.Health, event: Health.Event) => Health.Health
  readonly emit: (event: Event) => void
}

/**
 * A roster without instances; `emit` hears what happens to them, synchronously.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options, emit: (event: Event) => void): Roster => {
  const inUse = Candidates.make()
  return {
    options,
    load: Load.make(options.load),
    members: new Map(),
    snapshot: Snapshot.empty,
    loaded: false,
    inUse,
    zones: Zones.make(options.zones),
    ejected: Candidates.make(),
    reserve: Candidates.make(),
    from: inUse,
    panic: false,
    probeAt: Infinity,
    lateProbeAt: Infinity,
    bySlot: [],
    byAddress: new Map(),
    step: Health.step(options.health),
    emit
  }
}

/**
 * How many instances a pick could choose from, the last resort included.
 *
 * @category getters
 * @since 0.1.0
 */
export const size = (self: Roster): number => self.inUse.size + self.ejected.size + self.reserve.size

/**
 * Better than nobody: who is draining or without weight, else who is out and not to be used in a panic.
 *
 * @category getters
 * @since 0.1.0
 */
export const lastResort = ({ ejected, reserve }: Roster): Candidates.Candidates =>
  reserve.size > 0 ? reserve : ejected

/**
 * The last choices, the newest first, each with what the compared instances would have cost; those that have left are
 * not among them once their place was taken.
 *
 * @category getters
 * @since 0.1.0
 */
export const choices = (self: Roster) =>
  Recent.list(self.load.recent).map(({ at, compared, slot }) => ({
    at,
    endpoint: self.bySlot[slot].endpoint,
    compared: compared.map(({ cost, slot }) => ({ endpoint: self.bySlot[slot].endpoint, cost }))
  }))

/**
 * Follows a snapshot, in time proportional to the change when none was missed. `wall` is Unix time in milliseconds.
 *
 * @category combinators
 * @since 0.1.0
 */
export const apply = (self: Roster, snapshot: Snapshot.Snapshot, now: number, wall: number): void => {
  const first = !self.loaded
  self.loaded = true
  if (snapshot === self.snapshot) return
  try {
    for (const delta of Snapshot.since(snapshot, self.snapshot)) {
      const known = self.members.get(delta._tag === "Put" ? delta.endpoint.id : delta.id)
      if (delta._tag === "Removed") {
        if (known !== undefined) leave(self, known, now)
      } else if (known === undefined || delta.endpoint.startedAt > known.endpoint.startedAt) {
        if (known !== undefined) leave(self, known, now)
        join(self, delta.endpoint, startOf(delta.endpoint, first, now, wall), now)
      } else {
        update(self, known, delta.endpoint)
      }
    }
    // Last, so that a defect on the way leaves a snapshot that is followed once more.
    self.snapshot = snapshot
  } finally {
    balance(self)
  }
}

/**
 * Takes note of something that happened to the health of a member: the one writer of health.
 *
 * @category transitions
 * @since 0.1.0
 */
export const dispatch = (self: Roster, member: Member, event: Health.Event): void => {
  const before = member.health
  const health = self.step(before, event)
  if (health === before) return
  member.health = health
  Load.watch(self.load, member.slot, health._tag !== "Healthy")
  if (health._tag === "Warming") warm(self, member, health)
  if (Health.isInUse(before) !== Health.isInUse(health)) {
    displace(self, member)
    // Another id may have taken the address over: then it is that one's.
    if (self.byAddress.get(member.endpoint.address)?.[0] === member) place(self, member)
  }
  balance(self)
  self.emit({ _tag: "HealthChanged", at: event.at, endpoint: member.endpoint, event, before, health })
}

const join = (self: Roster, endpoint: Endpoint, startedAt: number, now: number): void => {
  const health = Health.started(startedAt, Duration.toMillis(self.options.warmUp.duration), now)
  const slot = Load.join(self.load, endpoint.weight, now, hashOf(endpoint.id))
  const member: Member = { id: endpoint.id, slot, endpoint, health, departed: false }
  self.members.set(endpoint.id, member)
  self.bySlot[slot] = member
  Zones.locate(self.zones, slot, endpoint.zone)
  Load.watch(self.load, slot, health._tag !== "Healthy")
  if (health._tag === "Warming") warm(self, member, health)
  claim(self, member)
  self.emit({ _tag: "Joined", at: now, endpoint, health })
}

const leave = (self: Roster, member: Member, now: number): void => {
  renounce(self, member)
  member.departed = true
  self.members.delete(member.id)
  Zones.forget(self.zones, member.slot)
  Load.leave(self.load, member.slot)
  self.emit({ _tag: "Left", at: now, endpoint: member.endpoint })
}

/** The same process with another address, weight or intention. */
const update = (self: Roster, member: Member, endpoint: Endpoint): void => {
  renounce(self, member)
  member.endpoint = endpoint
  Load.weigh(self.load, member.slot, endpoint.weight)
  Zones.locate(self.zones, member.slot, endpoint.zone)
  claim(self, member)
}

const warm = (self: Roster, { slot }: Member, { since, until }: { readonly since: number; readonly until: number }) =>
  Load.warm(self.load, slot, since, until, self.options.warmUp.floor)

/** One address is one candidate: of several ids that claim it the one that started last, or was seen last. */
const claim = (self: Roster, member: Member): void => {
  const address = member.endpoint.address
  const others = self.byAddress.get(address) ?? []
  const later = others.filter((other) => other.endpoint.startedAt > member.endpoint.startedAt)
  self.byAddress.set(address, [...later, member, ...others.slice(later.length)])
  if (later.length > 0) return
  if (others.length > 0) displace(self, others[0])
  place(self, member)
}

const renounce = (self: Roster, member: Member): void => {
  displace(self, member)
  const address = member.endpoint.address
  const others = (self.byAddress.get(address) ?? []).filter((other) => other !== member)
  if (others.length === 0) {
    self.byAddress.delete(address)
    return
  }
  self.byAddress.set(address, others)
  displace(self, others[0])
  place(self, others[0])
}

/** Puts a member that counts for its address where its health and its intention say. */
const place = (self: Roster, { slot, endpoint, health }: Member): void => {
  if (endpoint.draining || endpoint.weight === 0) return Candidates.add(self.reserve, slot, 1)
  if (Health.isInUse(health)) return use(self, slot, endpoint.weight)
  Candidates.add(self.ejected, slot, endpoint.weight)
  if (self.panic) use(self, slot, endpoint.weight)
}

const use = (self: Roster, slot: number, weight: number): void => {
  Candidates.add(self.inUse, slot, weight)
  Zones.add(self.zones, slot, weight)
}

const spare = (self: Roster, slot: number): void => {
  Candidates.remove(self.inUse, slot)
  Zones.remove(self.zones, slot)
}

const displace = (self: Roster, { slot }: Member): void => {
  spare(self, slot)
  Candidates.remove(self.ejected, slot)
  Candidates.remove(self.reserve, slot)
}

/**
 * How many instances would be used if all were well.
 *
 * @category getters
 * @since 0.1.0
 */
export const total = (self: Roster): number => self.inUse.size + (self.panic ? 0 : self.ejected.size)

/** Uses the ejected ones as well while too few others are left, and finds out whom to choose from and when to probe. */
const balance = (self: Roster): void => {
  const panic = Health.isPanic(self.options.health, total(self), self.ejected.size)
  self.probeAt = Infinity
  self.lateProbeAt = Infinity
  for (let index = 0; index < self.ejected.size; index++) {
    const slot = Candidates.at(self.ejected, index)
    const { health } = self.bySlot[slot]
    self.probeAt = Math.min(self.probeAt, Health.probeAt(health, true))
    self.lateProbeAt = Math.min(self.lateProbeAt, Health.probeAt(health, false))
    if (panic && !self.panic) use(self, slot, self.ejected.weights[slot])
    if (!panic && self.panic) spare(self, slot)
  }
  self.panic = panic
  self.from =
    self.inUse.size === 0 ? lastResort(self) : Zones.isDivided(self.zones, self.inUse) ? undefined : self.inUse
}

/**
 * When the instance started, on our own clock. Another machine's clock may be wrong: nobody started later than we saw
 * it. Without a start time, who was there before us is warm, and who came later starts now.
 */
const startOf = ({ startedAt }: Endpoint, first: boolean, now: number, wall: number): number =>
  startedAt > 0 ? Math.min(now, now - (wall - startedAt)) : first ? -Infinity : now
