/**
 * A thread that measures one case after another.
 */
import { parentPort } from "node:worker_threads"
import { type Case, measure } from "./Measured.ts"
import { scenarios } from "./scenarios.ts"

parentPort?.on("message", (what: Case) => {
  const scenario = scenarios.find(({ name }) => name === what.scenario)
  if (scenario !== undefined) parentPort?.postMessage(measure(scenario, what), [])
})
