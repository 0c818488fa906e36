// Sees to it that the tests have real servers to start: installs Debian's where that is possible, else says what to do.
// Without one the tests against it are left out; with CI=true they run all the same, and fail.
import { spawnSync } from "node:child_process"

const servers = [
  { name: "etcd", package: "etcd-server" },
  { name: "dnsmasq", package: "dnsmasq-base" }
]

const quietly = (command, env = {}) =>
  spawnSync("sh", ["-c", `PATH=$PATH:/usr/sbin; ${command}`], { encoding: "utf8", env: { ...process.env, ...env } })

/** Standard output belongs to the tests: everything here goes to `say`. */
export const provideServers = (say) => {
  const missing = servers.filter(({ name }) => quietly(`${name} --version`).status !== 0)
  if (missing.length === 0) return
  const names = missing.map(({ name }) => name).join(" and ")
  const install = `apt-get update && apt-get install -y ${missing.map((server) => server.package).join(" ")}`
  if (process.getuid?.() !== 0) {
    return say(`There is no ${names}, so tests against it ${verdict()}. To run them: sudo sh -c "${install}"`)
  }
  say(`Installing ${names} for the tests …`)
  const { status, stderr } = quietly(install, { DEBIAN_FRONTEND: "noninteractive" })
  if (status !== 0) say(`${names} could not be installed, so tests against it ${verdict()}: ${stderr.trim()}`)
  // The tests start their own; a service that the package may have started is not wanted.
  else if (names.includes("etcd")) quietly("service etcd stop")
}

const verdict = () => (process.env.CI === "true" ? "fail" : "are left out")
