// The bench's entry point.
import { Console, Effect } from "effect"

Effect.runSync(Console.log("The bench is not written yet."))
