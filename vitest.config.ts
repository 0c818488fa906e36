// One test configuration for every package and app.
// Tests run the TypeScript sources through the `muster-source` export condition, so nothing has to be built first.
// At most two files run at once: many of them start processes of their own, and two cores are the machine we promise.
import { defineConfig } from "vitest/config"

const conditions = ["muster-source", "node"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["scripts/test/*.test.ts", "packages/*/test/**/*.test.ts", "apps/*/test/**/*.test.ts"],
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000
  }
})
