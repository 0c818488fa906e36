/**
 * Loaded before a program (`--import`), this says in a last line which modules that loaded.
 */
import { registerHooks } from "node:module"

const urls = new Set<string>()

registerHooks({
  resolve: (specifier, context, next) => {
    const resolved = next(specifier, context)
    urls.add(resolved.url)
    return resolved
  }
})

process.once("exit", () => process.stdout.write(`${JSON.stringify([...urls])}\n`))
