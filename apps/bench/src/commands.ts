/**
 * What a measured program is told to do: one line of its standard input after the other.
 */
import { Effect, Stdio, Stream } from "effect"

/** Does this for each line, one after the other, for as long as any comes. */
export const obey = <E, R>(f: (line: string) => Effect.Effect<void, E, R>) =>
  Effect.flatMap(Stdio.Stdio, ({ stdin }) => stdin.pipe(Stream.decodeText, Stream.splitLines, Stream.runForEach(f)))
