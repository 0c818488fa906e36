import * as Load from "../Load.ts"
import type { Policy } from "../Pick.ts"
import { twoChoices } from "../internal/twoChoices.ts"

/**
 * The cheaper of two by latency and requests in flight: the default.
 *
 * "The power of two choices" (Mitzenmacher, 2001) over `Load.compare`. A tie goes to the one that was sampled first, which
 * keeps the shares that the weights ask for.
 *
 * @category policies
 * @since 0.1.0
 */
export const p2c: Policy = twoChoices(Load.compare, Load.comparePlain)
