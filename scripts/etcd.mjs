// Sees to it that the tests have an etcd to start: installs Debian's where that is possible, else says what to do.
// Without one the tests against etcd are left out; with CI=true they run all the same, and fail.
import { spawnSync } from "node:child_process"

const install = "apt-get update && apt-get install -y etcd-server"

const quietly = (command, env = {}) =>
  spawnSync("sh", ["-c", command], { encoding: "utf8", env: { ...process.env, ...env } })

/** Standard output belongs to the tests: everything here goes to `say`. */
export const provideEtcd = (say) => {
  if (quietly("etcd --version").status === 0) return
  if (process.getuid?.() !== 0) {
    return say(`There is no etcd, so tests against it ${verdict()}. To run them: sudo sh -c "${install}"`)
  }
  say("Installing etcd for the tests …")
  const { status, stderr } = quietly(install, { DEBIAN_FRONTEND: "noninteractive" })
  if (status !== 0) say(`etcd could not be installed, so tests against it ${verdict()}: ${stderr.trim()}`)
  // The tests start their own; the service that the package may have started is not wanted.
  else quietly("service etcd stop")
}

const verdict = () => (process.env.CI === "true" ? "fail" : "are left out")
