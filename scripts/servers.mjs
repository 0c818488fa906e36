// Sees to it that tests and benchmarks have real servers to start: installs Debian's where that is possible, else says
// what to do. Without one what needs it is left out; with CI=true it runs all the same, and fails.
import { spawnSync } from "node:child_process"

const servers = [
  { name: "etcd", package: "etcd-server", for: ["test", "faults", "bench", "soak"] },
  { name: "dnsmasq", package: "dnsmasq-base", for: ["test", "faults"] }
]

const quietly = (command, env = {}) =>
  spawnSync("sh", ["-c", `PATH=$PATH:/usr/sbin; ${command}`], { encoding: "utf8", env: { ...process.env, ...env } })

/** Standard output belongs to the program (`what`): everything here goes to `say`. */
export const provideServers = (say, what) => {
  const wanted = servers.filter((server) => server.for.includes(what))
  const missing = wanted.filter(({ name }) => quietly(`${name} --version`).status !== 0)
  if (missing.length === 0) return
  const names = missing.map(({ name }) => name).join(" and ")
  const install = `apt-get update && apt-get install -y ${missing.map((server) => server.package).join(" ")}`
  if (process.getuid?.() !== 0) {
    return say(`There is no ${names}, so what needs it ${verdict()}. To run it: sudo sh -c "${install}"`)
  }
  say(`Installing ${names} …`)
  const { status, stderr } = quietly(install, { DEBIAN_FRONTEND: "noninteractive" })
  if (status !== 0) say(`${names} could not be installed, so what needs it ${verdict()}: ${stderr.trim()}`)
  // Tests and benchmarks start their own; a service that the package may have started is not wanted.
  else if (names.includes("etcd")) quietly("service etcd stop")
}

const verdict = () => (process.env.CI === "true" ? "fails" : "is left out")
