// The demo's entry point.
import { Console, Effect } from "effect"

Effect.runSync(Console.log("The demo is not written yet."))
