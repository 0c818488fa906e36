/**
 * Reading a text from left to right by small patterns, remembering where it stands.
 *
 * Every step either takes what it expects or says at which offset it expected what; nothing is thrown.
 */
import * as Result from "effect/Result"

/** What was expected where; `offset` counts UTF-16 units from 0. */
interface Mismatch {
  readonly offset: number
  readonly expected: string
}

/** What one step of a grammar answers. */
export type Read<A> = Result.Result<A, Mismatch>

/** A text, and where reading stands in it. */
export interface Scanner {
  readonly offset: () => number
  /** Takes what the pattern matches right here, which may be nothing if the pattern allows it. */
  readonly take: (pattern: RegExp, expected: string) => Read<string>
  /** Takes this literal if it is right here. */
  readonly skip: (literal: string) => boolean
  /** A mismatch at `at`, by default right here. */
  readonly fail: (expected: string, at?: number) => Read<never>
  /** That nothing is left. */
  readonly end: () => Read<void>
}

/** Starts at the first character. */
export const make = (text: string): Scanner => {
  let offset = 0
  const fail = (expected: string, at = offset): Read<never> => Result.fail({ offset: at, expected })
  return {
    offset: () => offset,
    take: (pattern, expected) => {
      const sticky = new RegExp(pattern, `${pattern.flags}y`)
      sticky.lastIndex = offset
      const match = sticky.exec(text)?.[0]
      if (match === undefined) return fail(expected)
      offset += match.length
      return Result.succeed(match)
    },
    skip: (literal) => {
      const here = text.startsWith(literal, offset)
      if (here) offset += literal.length
      return here
    },
    fail,
    end: () => (offset === text.length ? Result.succeed(undefined) : fail("the end"))
  }
}
