/**
 * What one client makes of a service, moment by moment: its snapshot, who is ejected, how long it has been frozen.
 *
 * It folds the recorded events of discovery by itself, so it misses no state however short; `tell` hears what is worth
 * telling, `seen` every state. Both are called synchronously.
 */
import { DiscoveryState, type Endpoint, type Guard, type Roster } from "@muster/core"
import { between, type Happening, isLoss, isRemembered, ofHealth, rememberedAge } from "./Happening.ts"

export interface Listener {
  readonly tell: (happening: Happening) => void
  readonly seen: (before: Endpoints, after: Endpoints) => void
}

/** A monotonic clock, and the Unix time at which it began. */
interface Clock {
  readonly now: () => number
  readonly timeOrigin: number
}

type Endpoints = ReadonlyMap<string, Endpoint.Endpoint>

const listed = (state: DiscoveryState.DiscoveryState): Endpoints =>
  new Map(DiscoveryState.isKnown(state) ? state.snapshot.endpoints : [])

export class View {
  state: DiscoveryState.DiscoveryState = DiscoveryState.initial
  endpoints: Endpoints = new Map()
  readonly ejected = new Set<string>()
  /** How often the registry was lost while there was a snapshot, and how old the snapshot became at most. */
  readonly frozen = { times: 0, maxAgeMs: 0 }
  /** Since when the registry has been lost, on the clock of the caller; `undefined` while it is followed. */
  frozenAt: number | undefined
  /** How often the registry could not be believed: lost, or without instances that were there a moment ago. */
  troubles = 0
  readonly #idAt = new Map<string, string>()
  readonly #step: (state: DiscoveryState.DiscoveryState, event: DiscoveryState.Event) => DiscoveryState.DiscoveryState
  readonly #clock: Clock
  readonly #listener: Listener

  constructor(guard: Guard.Options, clock: Clock, listener: Listener) {
    this.#step = DiscoveryState.step(guard)
    this.#clock = clock
    this.#listener = listener
  }

  /** An event of discovery. */
  hear(event: DiscoveryState.Event): void {
    const before = this.state
    const after = this.#step(before, event)
    if (after === before) return
    this.state = after
    const age = DiscoveryState.isKnown(before) && before._tag !== "Live" ? before.asOf : undefined
    if (age?._tag === "Observed") this.frozen.maxAgeMs = Math.max(this.frozen.maxAgeMs, event.at - age.at)
    if (isLoss(before, after)) {
      this.frozen.times++
      this.frozenAt = this.#clock.now()
    }
    if (isRemembered(before, after)) this.frozenAt = this.#clock.now() - event.at
    if (after._tag === "Live") this.frozenAt = undefined
    const known = this.endpoints
    this.endpoints = listed(after)
    for (const { address, id } of this.endpoints.values()) this.#idAt.set(address, id)
    for (const happening of between(before, after, { at: event.at, wall: this.#wall })) {
      if (happening._tag === "Frozen" || happening._tag === "Held") this.troubles++
      this.#listener.tell(happening)
    }
    this.#listener.seen(known, this.endpoints)
  }

  /** An event of the balancer. */
  heed(event: Roster.Event): void {
    const { id } = event.endpoint
    if (event._tag === "Left") this.ejected.delete(id)
    if (event._tag !== "HealthChanged") return
    if (event.health._tag === "Ejected" || event.health._tag === "Probing") this.ejected.add(id)
    else this.ejected.delete(id)
    for (const happening of ofHealth(event)) this.#listener.tell(happening)
    this.#listener.seen(this.endpoints, this.endpoints)
  }

  /** Who listens, or last listened, at an address. */
  nameOf(address: string): string {
    return this.#idAt.get(address) ?? address
  }

  /** How many instances requests can go to: listed or held, neither draining nor ejected. */
  get pickable(): number {
    return [...this.endpoints.values()].filter(({ draining, id }) => !draining && !this.ejected.has(id)).length
  }

  /** For how many milliseconds the registry has been lost. */
  get frozenForMs(): number | undefined {
    return this.frozenAt === undefined ? undefined : this.#clock.now() - this.frozenAt
  }

  /** How old what an earlier run saw is, as long as that is what is served. */
  get rememberedMs(): number | undefined {
    return rememberedAge(this.state, this.#wall)
  }

  get #wall(): number {
    return this.#clock.timeOrigin + this.#clock.now()
  }
}
