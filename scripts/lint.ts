// The rules of this repository that no stock lint rule can express, as a plugin for oxlint.
// `boundaries` keeps the law of placement: core imports effect alone, runtime and backends never import each other,
// and no relative path leaves its package; static, type and dynamic imports count, and computed ones are refused.
// `file-size` refuses files of more than 250 lines of code whose header comment gives no reason ("Size: …").
import type { RuleTester } from "oxlint/plugins-dev"
import * as Path from "node:path"

type Rule = Parameters<RuleTester["run"]>[1]

interface Source {
  readonly range: [number, number]
  readonly start: number
  readonly end: number
  readonly value?: unknown
}

const maxLines = 250

const refusals: Readonly<Record<string, (module: string) => string | undefined>> = {
  core: (module) => (module === "effect" ? undefined : "core imports nothing but effect"),
  backends: (module) => (module === "@muster/runtime" ? "backends never import the runtime" : undefined),
  runtime: (module) => (module === "@muster/backends" ? "the runtime never imports a back end" : undefined)
}

/** The package name of a module specifier: "effect" of "effect/Effect", "@muster/core" of "@muster/core/Policy". */
const moduleOf = (specifier: string) =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/")

/** Why a file of `packages/<name>/src` may not import this, if it may not. */
const refusal = (file: string, source: Source): string | undefined => {
  const [, sources, name] = /^(.*\/packages\/([^/]+)\/src)\//.exec(file) ?? []
  const allow = name === undefined ? undefined : refusals[name]
  if (sources === undefined || allow === undefined) return undefined
  if (typeof source.value !== "string") return "the module of a dynamic import must be a plain string"
  if (/^[/#]|^(file|data|https?):/.test(source.value)) return "import packages by name and files by relative path"
  if (!source.value.startsWith(".")) return allow(moduleOf(source.value))
  const target = Path.resolve(Path.dirname(file), source.value)
  return target.startsWith(`${sources}/`) ? undefined : "a relative import must stay inside the package's src"
}

const boundaries: Rule = {
  create: (context) => {
    const check = ({ source }: { readonly source: Source | null }) => {
      if (source === null) return
      const message = refusal(context.filename.replaceAll("\\", "/"), source)
      if (message !== undefined) context.report({ message, node: source })
    }
    return {
      ImportDeclaration: (node) => check(node),
      ExportNamedDeclaration: (node) => check(node),
      ExportAllDeclaration: (node) => check(node),
      ImportExpression: (node) => check(node),
      TSImportType: (node) => check(node),
      CallExpression: (node) => {
        const { callee } = node
        if (callee.type !== "Identifier" || !["require", "createRequire"].includes(callee.name)) return
        context.report({ message: "use import, which this rule can check", node })
      }
    }
  }
}

const fileSize: Rule = {
  create: (context) => ({
    Program: (node) => {
      const { sourceCode } = context
      const lines = new Set<number>()
      for (const { loc } of sourceCode.ast.tokens) {
        for (let line = loc.start.line; line <= loc.end.line; line++) lines.add(line)
      }
      const start = sourceCode.ast.tokens[0]?.range[0] ?? 0
      const header = sourceCode.getAllComments().filter((comment) => comment.range[1] <= start)
      if (lines.size <= maxLines || header.some((comment) => /\bSize: \S/.test(comment.value))) return
      const message = `${lines.size} lines of code, more than ${maxLines}: split the file by concept, or say in its header why not ("Size: …")`
      context.report({ message, node })
    }
  })
}

export default { meta: { name: "muster" }, rules: { boundaries, "file-size": fileSize } }
