// The repository's own lint rules, each broken on purpose: static, relative, type and dynamic imports, and long files.
import { RuleTester } from "oxlint/plugins-dev"
import { describe, it } from "vitest"
import plugin from "../lint.ts"

RuleTester.describe = describe
RuleTester.it = it
const tester = new RuleTester({ cwd: "/repo", languageOptions: { sourceType: "module" } })

const inside = (name: string) => (code: string) => ({ code, filename: `/repo/packages/${name}/src/Some.ts` })
const refused = (message: RegExp) => (test: { readonly code: string; readonly filename: string }) => ({
  ...test,
  errors: [{ message }]
})

const [core, backends, runtime] = [inside("core"), inside("backends"), inside("runtime")]

tester.run("boundaries", plugin.rules.boundaries, {
  valid: [
    core(`import * as Effect from "effect/Effect"`),
    core(`import { state } from "./internal/state.ts"`),
    { code: `import { state } from "../Some.ts"`, filename: "/repo/packages/core/src/internal/state.ts" },
    backends(`import { createServer } from "node:http"`),
    backends(`const driver = () => import("./Local.ts")`),
    runtime(`export * from "@muster/core/Policy"`),
    { code: `import * as Local from "@muster/backends/Local"`, filename: "/repo/packages/runtime/test/Some.test.ts" },
    { code: `import(name)`, filename: "/repo/apps/demo/src/backend.ts" }
  ],
  invalid: [
    ...[
      core(`import * as Fs from "node:fs"`),
      core(`import { runMain } from "@effect/platform-node/NodeRuntime"`),
      core(`import type { A } from "effect-like"`),
      core(`export { a } from "@muster/runtime"`),
      core(`export * from "@muster/backends/Local"`),
      core(`const load = () => import("node:fs")`),
      core(`type Server = import("node:http").Server`)
    ].map(refused(/^core imports nothing but effect$/)),
    ...[backends(`import { Registrar } from "@muster/runtime"`), backends(`import("@muster/runtime/Registrar")`)].map(
      refused(/^backends never import the runtime$/)
    ),
    ...[runtime(`import * as Local from "@muster/backends/Local"`), runtime(`import("@muster/backends/Local")`)].map(
      refused(/^the runtime never imports a back end$/)
    ),
    ...[
      core(`import { Discovery } from "../../runtime/src/Discovery.ts"`),
      backends(`import("../../runtime/src/Registrar.ts")`),
      runtime(`export * from "../../backends/src/Local.ts"`),
      runtime(`import { fake } from "../test/fixtures/fake.ts"`)
    ].map(refused(/^a relative import must stay inside/)),
    ...[core("import(name)"), runtime("import(`@muster/${name}`)")].map(refused(/must be a plain string$/)),
    ...[core(`import "/etc/module.js"`), core(`import "#backends"`), core(`import "data:text/javascript,1"`)].map(
      refused(/^import packages by name/)
    ),
    ...[core(`require("fs")`), backends(`createRequire(import.meta.url)`)].map(refused(/^use import/))
  ]
})

const lines = (count: number) => "f(`\n`)\n\n// a comment\n".repeat(count / 2)

tester.run("file-size", plugin.rules["file-size"], {
  valid: [lines(250), `// A table.\n// Size: the table is one concept.\n${lines(252)}`],
  invalid: [lines(252), `// A table.\n${lines(252)}`, `f(1)\n// Size: too late\n${lines(250)}`].map((code) => ({
    code,
    errors: [{ message: /^25[12] lines of code, more than 250/ }]
  }))
})
