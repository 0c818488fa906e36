/**
 * How services and instances are written into keys and values, and read from them.
 *
 * A layout says where the entries of a service lie and what an entry says; it holds no connection and no state but what
 * one reader of one service needs to understand the next event.
 */
import type * as Result from "effect/Result"
import type { Delta, Skipped } from "@muster/core/Change"
import type { Endpoint, ServiceName } from "@muster/core/Endpoint"
import type { Unreadable } from "@muster/core/RegistryError"
import type { IEvent, IKeyValue } from "etcd3"

/** Understands the entries of one service, from a full read on. */
export interface Reader {
  readonly reset: (entries: ReadonlyArray<IKeyValue>) => {
    readonly endpoints: ReadonlyArray<Endpoint>
    readonly skipped: ReadonlyArray<Skipped>
  }
  readonly changed: (events: ReadonlyArray<IEvent>) => {
    readonly deltas: ReadonlyArray<Delta>
    readonly skipped: ReadonlyArray<Skipped>
  }
}

export interface Layout {
  /** Where the entries of a service lie: everything whose key begins with this text, which ends with "/". */
  readonly folder: (service: ServiceName) => string
  readonly key: (endpoint: Endpoint, lease: string) => string
  /** What the entry says; `undefined` where it cannot say this, so that the entry has to go. Fails where nobody would read it. */
  readonly value: (endpoint: Endpoint) => Result.Result<string | undefined, Unreadable>
  /** The endpoint that an entry under `key` claims to be, if it can be told. */
  readonly claim: (service: ServiceName, entry: IKeyValue) => Endpoint | undefined
  readonly reader: (service: ServiceName) => Reader
  /** Whether an event can only be understood with the entries before it, so that a resume has to read those again. */
  readonly remembers: boolean
  /** Whether entries are claims that can be ranked, each under a lease that holds nothing else. */
  readonly ownsLease: boolean
}

/** The key right after all keys that begin with this text, whose last character is ASCII. */
export const after = (folder: string): Buffer =>
  Buffer.from(folder.slice(0, -1) + String.fromCharCode(folder.charCodeAt(folder.length - 1) + 1))
