/**
 * What a person did wrong or can put right: one sentence for standard error, exit code 1, never a stack trace.
 */
import { Runtime, Schema } from "effect"

export class Trouble extends Schema.TaggedError<Trouble>()("Trouble", { message: Schema.String }) {
  /** Told by `main` in one line, so the runtime need not log it. */
  override readonly [Runtime.errorReported] = false
}
