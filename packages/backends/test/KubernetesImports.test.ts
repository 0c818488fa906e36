/**
 * The Kubernetes client is large and slow to load: only a program that builds the Kubernetes back end pays for it.
 */
import { execFile } from "node:child_process"
import { readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { Effect } from "effect"
import { assert, describe, it } from "@effect/vitest"

const root = fileURLToPath(new URL("../../..", import.meta.url))

/** What a program resolves of the Kubernetes client's packages. */
const resolvedBy = (program: string) =>
  Effect.promise(async () => {
    const script = `
      import { registerHooks } from "node:module"
      const resolved = new Set()
      registerHooks({
        resolve(specifier, context, next) {
          const result = next(specifier, context)
          const name = /node_modules\\/(@kubernetes\\/client-node|openid-client|js-yaml)\\//.exec(result.url)?.[1]
          if (name !== undefined) resolved.add(name)
          return result
        }
      })
      ${program}
      console.log(JSON.stringify([...resolved].sort()))`
    const args = ["--conditions=muster-source", "--input-type=module", "--eval", script]
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root })
    return stdout.trim().split("\n").at(-1)
  })

const backends = readdirSync(new URL("../src", import.meta.url))
  .filter((name) => name.endsWith(".ts"))
  .map((name) => `@muster/backends/${name.replace(".ts", "")}`)

describe("Kubernetes, loading", () => {
  it.live("importing Muster, every back end included, loads no module of the Kubernetes client", () =>
    Effect.gen(function* () {
      assert.includeMembers(
        backends,
        ["Memory", "Direct", "Etcd", "Kubernetes"].map((name) => `@muster/backends/${name}`)
      )
      const imports = ["@muster/core", "@muster/runtime", ...backends].map((name) => `await import("${name}")`)
      assert.strictEqual(yield* resolvedBy(imports.join("\n")), "[]")
    })
  )

  it.live("building the Kubernetes back end loads it", () =>
    Effect.gen(function* () {
      const program = `
        import { Effect, Layer } from "effect"
        import { layer } from "@muster/backends/Kubernetes"
        await Effect.runPromiseExit(Effect.scoped(Layer.build(layer({ kubeconfig: "/none" }))))`
      assert.include(yield* resolvedBy(program), "@kubernetes/client-node")
    })
  )
})
