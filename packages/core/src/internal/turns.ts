/**
 * Turns by weight without a queue: of `rounds` rounds, an instance takes part in the share `weight / heaviest`, spread as
 * evenly as whole numbers allow (gRPC's static stride scheduler). Each sits out other rounds than its neighbours do.
 */

/** Whether a slot takes part in a round. */
export const takesPart = (slot: number, round: number, weight: number, heaviest: number): boolean => {
  if (weight >= heaviest) return true
  const share = weight / heaviest
  const offset = (slot * golden) % 1
  return Math.floor((round + 1) * share + offset) > Math.floor(round * share + offset)
}

/** So many who sit out in a row are enough; a draw by weight is as fair. */
export const maxTries = 64

/** Where to start, so that clients that start together do not all begin with the same instance. */
export const someTurn = (random: () => number): number => Math.floor(random() * 2 ** 20)

const golden = (Math.sqrt(5) - 1) / 2
