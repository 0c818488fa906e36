// One test configuration for every package and app.
// Tests run the TypeScript sources through the `muster-source` export condition, so nothing has to be built first.
// At most two files run at once: many of them start processes of their own, and two cores are the machine we promise.
// A timeout ends a test that hangs; it measures nothing, so it leaves room for a machine that is busy with other things.
import { defineConfig } from "vitest/config"

const conditions = ["muster-source", "node"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["scripts/test/*.test.ts", "packages/*/test/**/*.test.ts", "apps/*/test/**/*.test.ts"],
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000
  }
})
