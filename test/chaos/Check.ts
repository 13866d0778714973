/** What a run demands, in words for whoever reads that it does not hold. */

/** What is thrown then: its message says all, its stack nothing. */
export class Unexpected extends Error {}

export function check(holds: boolean, otherwise: () => string): asserts holds {
  if (!holds) throw new Unexpected(otherwise())
}
