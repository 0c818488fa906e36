/**
 * All slices of one namespace, and the services in it that somebody asked for.
 *
 * Slices are kept by uid. A resourceVersion is compared for equality and nothing else: the same one again is no news,
 * and a position in the history of the namespace means something to the API server alone. It outlives the connection
 * to the API server, so that what was learned of an instance (its id, when it was first seen) stays true across one.
 */
import type { ServiceName } from "@muster/core/Endpoint"
import type { EndpointSlice } from "./endpointSlice.ts"
import type { ServiceView } from "./serviceView.ts"

/** All slices of one namespace. Times are Unix time in milliseconds. */
export interface Inventory {
  /** From where a watch goes on; `undefined` before the first listing and after that history was lost. */
  readonly position: () => string | undefined
  readonly setPosition: (resourceVersion: string | undefined) => void
  /** Takes a full listing. */
  readonly replace: (slices: ReadonlyArray<EndpointSlice>, at: number) => void
  readonly put: (slice: EndpointSlice, at: number) => void
  readonly remove: (uid: string, at: number) => void
  /** Whether these are exactly the slices of a Service, each at the version that is known. */
  readonly agrees: (service: string, slices: ReadonlyArray<EndpointSlice>) => boolean
  /** The view of a Service under a name, made where there is none, for one watcher. */
  readonly acquire: (name: ServiceName, service: string, at: number, make: () => ServiceView) => ServiceView
  /** A watcher is done with it. It is forgotten once nobody watches a Service that has no slice. */
  readonly release: (name: ServiceName, service: string) => void
  /** Wakes every watcher. */
  readonly wake: () => void
}

/** Slices by uid; `undefined` stands for one that is gone. */
type Slices = Map<string, EndpointSlice | undefined>

interface Watched {
  readonly view: ServiceView
  watchers: number
}

/** Nothing known yet. */
export const make = (): Inventory => {
  const slices = new Map<string, EndpointSlice>()
  const byService = new Map<string, Map<string, EndpointSlice>>()
  const views = new Map<string, Map<ServiceName, Watched>>()
  let position: string | undefined
  let isListed = false

  /** Takes one slice, and notes for each Service that it belongs or belonged to what is true there now. */
  const take = (uid: string, slice: EndpointSlice | undefined, changes: Map<string, Slices>) => {
    const before = slices.get(uid)
    const note = (service: string | undefined, now: EndpointSlice | undefined) => {
      if (service === undefined) return
      const known = byService.get(service) ?? new Map<string, EndpointSlice>()
      if (now === undefined) known.delete(uid)
      else known.set(uid, now)
      if (known.size > 0) byService.set(service, known)
      else byService.delete(service)
      changes.set(service, (changes.get(service) ?? new Map()).set(uid, now))
    }
    if (before?.service !== slice?.service) note(before?.service, undefined)
    note(slice?.service, slice)
    if (slice === undefined) slices.delete(uid)
    else slices.set(uid, slice)
  }

  /** Forgets the views that nobody watches, of a Service that has no slice. */
  const forget = (service: string) => {
    const named = views.get(service)
    if (named === undefined || byService.has(service)) return
    for (const [name, { watchers }] of named) if (watchers === 0) named.delete(name)
    if (named.size === 0) views.delete(service)
  }

  const tell = (changes: ReadonlyMap<string, Slices>, at: number) => {
    for (const [service, changed] of changes) {
      for (const { view } of views.get(service)?.values() ?? []) view.update(changed, at)
      forget(service)
    }
  }

  const takeOne = (uid: string, slice: EndpointSlice | undefined, at: number) => {
    if (slices.get(uid)?.resourceVersion === slice?.resourceVersion) return
    const changes = new Map<string, Slices>()
    take(uid, slice, changes)
    tell(changes, at)
  }

  return {
    position: () => position,
    setPosition: (resourceVersion) => {
      position = resourceVersion
    },
    replace: (all, at) => {
      const changes = new Map<string, Slices>()
      // The first listing tells every view, so that what it does not list is new when it turns up later.
      if (!isListed) for (const service of views.keys()) changes.set(service, new Map())
      isListed = true
      const listed = new Set(all.map(({ uid }) => uid))
      for (const uid of slices.keys()) if (!listed.has(uid)) take(uid, undefined, changes)
      // Each as it is listed: in the history of a restored API server another state may have the same number.
      for (const slice of all) take(slice.uid, slice, changes)
      tell(changes, at)
    },
    put: (slice, at) => takeOne(slice.uid, slice, at),
    remove: (uid, at) => takeOne(uid, undefined, at),
    agrees: (service, listed) => {
      const known = byService.get(service)
      return (
        listed.length === (known?.size ?? 0) &&
        listed.every(({ uid, resourceVersion }) => known?.get(uid)?.resourceVersion === resourceVersion)
      )
    },
    acquire: (name, service, at, make) => {
      const named = views.get(service) ?? new Map<ServiceName, Watched>()
      views.set(service, named)
      let watched = named.get(name)
      if (watched === undefined) {
        watched = { view: make(), watchers: 0 }
        named.set(name, watched)
        if (isListed) watched.view.update(byService.get(service) ?? [], at)
      }
      watched.watchers++
      return watched.view
    },
    release: (name, service) => {
      const watched = views.get(service)?.get(name)
      if (watched !== undefined) watched.watchers--
      forget(service)
    },
    wake: () => {
      for (const named of views.values()) for (const { view } of named.values()) view.notice.notify()
    }
  }
}
