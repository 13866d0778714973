/** A small seeded generator of choices: the same seed gives the same choices, so that a run can be repeated. */

/** Seeds are whole numbers below this. */
export const seeds = 2 ** 32

/** The choices of one run, in order. */
export interface Chance {
  /** A number in [0, 1). */
  readonly next: () => number
  /** A whole number from `low` to `high`, both included. */
  readonly between: (low: number, high: number) => number
  /** One of them; there must be one. */
  readonly of: <A>(values: ReadonlyArray<A>) => A
  readonly shuffled: <A>(values: ReadonlyArray<A>) => Array<A>
}

/** mulberry32: 32 bits of state are plenty for the choices of one run. */
export const make = (seed: number): Chance => {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / seeds
  }
  const between = (low: number, high: number) => low + Math.floor(next() * (high - low + 1))
  return {
    next,
    between,
    of: (values) => values[between(0, values.length - 1)]!,
    shuffled: (values) => {
      const left = [...values]
      const taken: typeof left = []
      while (left.length > 0) taken.push(...left.splice(between(0, left.length - 1), 1))
      return taken
    }
  }
}
