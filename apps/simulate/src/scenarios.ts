/**
 * The scenarios, each of which asks one question of a balancer. s0 is the server that something happens to.
 */
import type { Scenario } from "./Scenario.ts"
import { coldAll, coldOne } from "./scenarios/cold.ts"
import { breaking, failing, temporary } from "./scenarios/failing.ts"
import { hanging } from "./scenarios/hanging.ts"
import { overload, storm } from "./scenarios/overload.ts"
import { errorsEverywhere, errorsOfOne, slowAmongErrors } from "./scenarios/errors.ts"
import { recovering } from "./scenarios/recovering.ts"
import { slow } from "./scenarios/slow.ts"
import { subsets } from "./scenarios/subsets.ts"
import { steady } from "./scenarios/steady.ts"
import { wiped } from "./scenarios/wiped.ts"
import { zones } from "./scenarios/zones.ts"
import { busyWeights, quietWeights } from "./scenarios/weights.ts"

export const scenarios: ReadonlyArray<Scenario> = [
  steady,
  slow,
  recovering,
  failing,
  breaking,
  hanging,
  coldAll,
  coldOne,
  temporary,
  errorsOfOne,
  errorsEverywhere,
  slowAmongErrors,
  overload,
  storm,
  quietWeights,
  busyWeights,
  wiped,
  zones,
  subsets
]
