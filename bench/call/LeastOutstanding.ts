/** The plainest dispatch that is any good, for sides that bring none. */

/** The one with the fewest calls, the first of equals. */
export const leastOutstanding = <W extends { readonly outstanding: number }>(workers: ReadonlyArray<W>): W =>
  workers.reduce((best, worker) => worker.outstanding < best.outstanding ? worker : best)
