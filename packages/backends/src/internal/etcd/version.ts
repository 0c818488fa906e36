/**
 * Which etcd servers are known to lose, double or reorder watch events around a resume or a compaction: those before
 * 3.4.36 and 3.5.18 (their changelogs: 3.4.24–3.4.36, 3.5.8–3.5.18), and any whose version cannot be read.
 */

/** The first patch release of each minor line without those bugs; later lines never had them. */
const fixedIn: Readonly<Record<number, number>> = { 4: 36, 5: 18 }

export const losesEvents = (version: string): boolean => {
  const [, major, minor, patch] = /^(\d+)\.(\d+)\.(\d+)/.exec(version)?.map(Number) ?? []
  if (major === undefined || minor === undefined || patch === undefined) return true
  if (major !== 3) return major < 3
  return minor < 4 || patch < (fixedIn[minor] ?? 0)
}
