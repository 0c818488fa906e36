import type { Policy } from "../Pick.ts"
import { pressures } from "../internal/standIn.ts"
import { twoChoices } from "../internal/twoChoices.ts"

/**
 * The less busy of two, whatever their latency.
 *
 * @category policies
 * @since 0.1.0
 */
export const leastLoaded: Policy = twoChoices(pressures, pressures)
