/**
 * Hashes that every process computes alike, now and in any later version: what clients agree on depends on them.
 */

/** 32 bits of a text: FNV-1a over its UTF-16 units, then mixed, because FNV alone leaves similar texts close together. */
export const hashOf = (text: string): number => {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  return mix(hash, text.length)
}

/** 32 bits of two numbers: combined, and then the finalizer of MurmurHash3 (Appleby). */
export const mix = (a: number, b: number): number => finish(a ^ Math.imul(b + 1, 0x9e3779b1))

const finish = (mixed: number): number => {
  let hash = mixed
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** How many of `others` come before `own` when all are ordered by their hash with `by`, the greatest first. */
export const rank = (own: number, others: Uint32Array, by: number): number => {
  const ownHash = mix(own, by)
  const salt = Math.imul(by + 1, 0x9e3779b1)
  let before = 0
  for (let index = 0; index < others.length; index++) {
    const hash = finish(others[index] ^ salt)
    if (hash > ownHash || (hash === ownHash && others[index] > own)) before++
  }
  return before
}

/** 32 bits as a number from 0 to 1, without 1. */
export const unit = (hash: number): number => hash / 0x1_0000_0000
