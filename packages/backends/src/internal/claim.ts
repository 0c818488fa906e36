/**
 * Which of two claims to one instance id wins: the one that started later.
 *
 * Two that started in the same millisecond on different addresses are ordered by address, so that both sides agree
 * and neither takes the id back from the other. The same claim again (a process that registers anew) outranks nothing.
 */
import type { Endpoint } from "@muster/core/Endpoint"
import { Superseded } from "@muster/core/RegistryError"

/** Whether `held` keeps the id against `claim`. */
export const outranks = (held: Endpoint, claim: Endpoint): boolean => {
  if (held.startedAt !== claim.startedAt) return held.startedAt > claim.startedAt
  // Each renewal compares a claim with itself, for which no address has to be written out.
  return (held.port !== claim.port || held.host !== claim.host) && held.address > claim.address
}

/** What the loser is told. */
export const superseded = (by: Endpoint): Superseded =>
  new Superseded({
    message: `${by.address}, which started later, registered under this id; give each process an id of its own`,
    by
  })
