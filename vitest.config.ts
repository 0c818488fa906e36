// One test configuration for every package and app.
// Tests run the TypeScript sources through the `muster-source` export condition, so nothing has to be built first.
// At most two files run at once: many of them start processes of their own, and two cores are the machine we promise.
// A timeout ends a test that hangs; it measures nothing, so it leaves room for a machine that is busy with other things.
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"

const conditions = ["muster-source", "node"]

/** Whole programs and servers take longest although their files are short: begun last, one would keep one core idle. */
const isLong = ({ moduleId }: TestSpecification) =>
  /\/apps\/(soak|demo)\/|\/test\/(Etcd|Nacos|Consul)\w*\.test\.ts$/.test(moduleId)

class LongFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>) {
    // oxlint-disable-next-line unicorn/no-array-sort -- it is no array that sorts here
    const sorted = await super.sort(files)
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))]
  }
}

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["scripts/test/*.test.ts", "packages/*/test/**/*.test.ts", "apps/*/test/**/*.test.ts"],
    maxWorkers: 2,
    sequence: { sequencer: LongFirst },
    testTimeout: 60_000,
    hookTimeout: 60_000
  }
})
