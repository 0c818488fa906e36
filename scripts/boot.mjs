// Runs Muster's programs on a machine that has nothing but some Node and npm: `node scripts/boot.mjs demo|test|…`.
// Installs the locked dependencies when they are missing or do not match package-lock.json, one install at a time, and
// then starts the pinned Node, which runs the TypeScript sources. Standard output belongs to the started program alone.
// `installed` only notes that an install by hand is up to date. Must itself run on Node 18: built-in modules only.
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { constants } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { provideServers } from "./servers.mjs"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, "node_modules")
const stampFile = join(modules, ".muster-install")
const lockFile = join(root, ".install.lock")
const stageFolder = join(root, ".install.stage")
const pinned = `node_modules/node-${process.platform}-${process.arch}`
const vitest = join(modules, "vitest", "vitest.mjs")

const programs = {
  demo: ["--conditions=muster-source", join(root, "apps/demo/src/main.ts")],
  soak: ["--expose-gc", "--conditions=muster-source", join(root, "apps/soak/src/main.ts")],
  bench: ["--conditions=muster-source", join(root, "apps/bench/src/main.ts")],
  simulate: ["--conditions=muster-source", join(root, "apps/simulate/src/main.ts")],
  test: [vitest, "run"],
  faults: [join(root, "scripts/faults.ts")]
}

const say = (line) => process.stderr.write(`${line}\n`)

const read = (file) => {
  try {
    return readFileSync(file, "utf8")
  } catch {
    return undefined
  }
}

const lockfile = readFileSync(join(root, "package-lock.json"), "utf8")

/** What an up-to-date node_modules carries: the lockfile that it came from, and the platform of its binaries. */
const stamp = `${createHash("sha256").update(lockfile).digest("hex")} ${process.platform} ${process.arch}\n`

const isInstalled = () => read(stampFile) === stamp && existsSync(vitest)

/** npm before 11 drops the link of the pinned Node together with that of the other platform, so `npm run` misses it. */
const noteInstalled = () => {
  const link = join(modules, ".bin", "node")
  if (existsSync(join(root, pinned)) && !existsSync(link)) symlinkSync(join("..", "..", pinned, "bin", "node"), link)
  writeFileSync(stampFile, stamp)
}

/** Whether this version of Node runs TypeScript sources, and gets every locked binary out of npm. */
const isRecent = (version) => {
  const [major, minor] = version.split(".").map(Number)
  return major > 22 || (major === 22 && minor >= 19)
}

const isAlive = (pid) => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error.code === "EPERM"
  }
}

/** Starts a program, passes our signals on to it, and answers with its exit code. */
const run = (command, args, options) =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, options)
    const forward = (signal) => child.kill(signal)
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"]
    for (const signal of signals) process.on(signal, forward)
    child.on("error", reject)
    child.on("close", (code, signal) => {
      for (const signal of signals) process.off(signal, forward)
      resolve(code === null ? 128 + constants.signals[signal] : code)
    })
  })

/** Takes the install lock, or says no while another process holds it. A dead process's lock is moved out of the way. */
const acquire = () => {
  const mine = `${lockFile}.${process.pid}`
  writeFileSync(mine, String(process.pid))
  try {
    linkSync(mine, lockFile)
    return true
  } catch (error) {
    if (error.code !== "EEXIST") throw error
    const holder = read(lockFile)
    if (holder === undefined || isAlive(Number(holder))) return false
    renameSync(lockFile, mine)
    // Somebody replaced the dead lock before the rename: give the living one back.
    if (read(mine) !== holder) linkSync(mine, lockFile)
    return false
  } finally {
    rmSync(mine, { force: true })
  }
}

const npmCi = async (cwd, path) => {
  const flags = [
    "--include=dev",
    "--include=optional",
    "--ignore-scripts",
    "--no-audit",
    "--no-progress",
    "--no-update-notifier"
  ]
  const env = { ...process.env, PATH: path.join(delimiter) }
  const npm = () => run("npm", ["ci", "--loglevel=error", ...flags], { cwd, env, stdio: ["ignore", "ignore", 2] })
  let code = await npm()
  // A download may break off, and npm 10 crashes now and then ("Exit handler never called!"); what was fetched is kept.
  if (code !== 0 && code < 128) {
    say(`npm ci ended with code ${code}; trying once more …`)
    code = await npm()
  }
  if (code !== 0) throw new Error(`npm ci ended with code ${code}`)
}

/** The pinned Node alone, as locked, in a folder of its own: answers with the folder of its binary. */
const stageNode = async (path) => {
  const { version, integrity } = JSON.parse(lockfile).packages[pinned] ?? {}
  if (version === undefined) return []
  const manifest = { name: "stage", version: "0.0.0", dependencies: { [pinned.split("/")[1]]: version } }
  const packages = { "": manifest, [pinned]: { version, integrity } }
  rmSync(stageFolder, { recursive: true, force: true })
  mkdirSync(stageFolder)
  writeFileSync(join(stageFolder, "package.json"), JSON.stringify(manifest))
  writeFileSync(join(stageFolder, "package-lock.json"), JSON.stringify({ lockfileVersion: 3, packages }))
  await npmCi(stageFolder, path)
  return [join(stageFolder, pinned, "bin")]
}

const install = async () => {
  for (let waited = false; !acquire(); waited = true) {
    if (!waited) say("Waiting for another install of the dependencies to finish …")
    await sleep(200)
  }
  try {
    if (isInstalled()) return
    say("Installing the locked dependencies with npm ci; this happens once and takes about half a minute …")
    // npm must not run on the Node in node_modules, which `npm ci` deletes first. Nor on one that is too old: npm then
    // leaves out, without a word, every optional binary that asks for a newer Node.
    const path = (process.env.PATH ?? "").split(delimiter).filter((entry) => !entry.startsWith(modules))
    await npmCi(root, [...(await stageNode(path)), ...path])
    noteInstalled()
  } finally {
    rmSync(stageFolder, { recursive: true, force: true })
    rmSync(lockFile, { force: true })
  }
}

/** The pinned Node where the platform has one, else our own if it is recent enough. */
const findNode = () => {
  const file = join(root, pinned, "bin", "node")
  if (existsSync(file)) return file
  if (isRecent(process.versions.node)) return process.execPath
  throw new Error(`Muster needs Node 22.19 or newer on this platform; this is Node ${process.versions.node}`)
}

const main = async ([what, ...args]) => {
  if (what === "installed") {
    const npmRunsOn = /\bnode\/v([\d.]+)/.exec(process.env.npm_config_user_agent ?? "")
    if (npmRunsOn !== null && isRecent(npmRunsOn[1])) noteInstalled()
    return
  }
  if (!Object.hasOwn(programs, what)) throw new Error(`say what to run: ${Object.keys(programs).join(", ")}`)
  if (!isInstalled()) {
    await install().catch((error) => {
      throw new Error(`the dependencies could not be installed: ${error.message}`)
    })
  }
  provideServers(say, what)
  process.exitCode = await run(findNode(), [...programs[what], ...args], { cwd: root, stdio: "inherit" })
}

main(process.argv.slice(2)).catch((error) => {
  say(`Muster: ${error.message}`)
  process.exitCode = 1
})
