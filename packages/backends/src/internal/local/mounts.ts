/**
 * What is mounted where, as Linux tells it: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
 */
import * as Fs from "node:fs"

/** Blanks and backslashes of a path are written as octal numbers. */
const unescape = (text: string) =>
  text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** Whether something is mounted at this very path, links resolved, according to a `mountinfo`. */
export const isMountPoint = (mountinfo: string, path: string): boolean =>
  mountinfo.split("\n").some((line) => unescape(line.split(" ")[4] ?? "") === path)

/** The mounts that this process sees; none where the system does not tell. */
export const mountinfo = (): string => {
  try {
    return Fs.readFileSync("/proc/self/mountinfo", "utf8")
  } catch {
    return ""
  }
}
