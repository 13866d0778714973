/**
 * Whether something waits for ever: a pure search in who waits for whom.
 *
 * ```text
 *  inner, queued ──▶ any place of its pool ──▶ outer, which holds one ──▶ its host tool ──▶ inner
 *                        └ free, or held by a call that waits for nobody: then there is no deadlock
 * ```
 *
 * **Details**
 *
 * Each goes on as soon as *any one* of its blockers is over: a queued call takes whichever place is free first, and a blocked call has one
 * blocker. So one waits for ever exactly if nothing that can go on by itself is reached from it.
 */

/**
 * The blockers of one: of which any one must be over before it goes on; `undefined`: it can go on by itself.
 */
export type Blockers<A> = (waiting: A) => ReadonlyArray<A> | undefined

/**
 * When `start` waits for ever, the circle to break: each waits for the next, the last for the first. That is the youngest of all that
 * `start` waits for, by `age`, the higher the younger, and that wait for themselves; `undefined` of what cannot be given up.
 */
export const find = <A>(start: A, blockers: Blockers<A>, age: (waiting: A) => number | undefined): ReadonlyArray<A> | undefined => {
  const reached = new Map<A, ReadonlyArray<A>>()
  const open = [start]
  for (let waiting = open.pop(); waiting !== undefined; waiting = open.pop()) {
    if (reached.has(waiting)) continue
    const before = blockers(waiting)
    if (before === undefined) return undefined
    reached.set(waiting, before)
    open.push(...before)
  }
  const youngest = [...reached.keys()]
    .flatMap((waiting) => {
      const at = age(waiting)
      return at === undefined ? [] : [{ waiting, at }]
    })
    .sort((a, b) => b.at - a.at)
  for (const { waiting } of youngest) {
    const circle = circleFrom(waiting, reached)
    if (circle !== undefined) return circle
  }
  return undefined
}

/** The shortest way from one back to itself. */
const circleFrom = <A>(first: A, reached: ReadonlyMap<A, ReadonlyArray<A>>): ReadonlyArray<A> | undefined => {
  const from = new Map<A, A>()
  const open = [first]
  for (const waiting of open) {
    for (const next of reached.get(waiting)!) {
      if (next === first) {
        const circle = [waiting]
        while (circle[0] !== first) circle.unshift(from.get(circle[0]!)!)
        return circle
      }
      if (from.has(next)) continue
      from.set(next, waiting)
      open.push(next)
    }
  }
  return undefined
}
