/**
 * Deadlines of many calls at little cost: buckets of {@link tickMillis}, so that setting and clearing one is O(1) and one timer serves
 * a whole pool. A deadline is met within one tick after its time, never before.
 */

/** 10 ms: far below any limit worth setting, far above the cost of a tick. */
export const tickMillis = 10

export interface DeadlineWheel {
  readonly buckets: Map<number, Set<number>>
  /** Where each id is kept. */
  readonly places: Map<number, number>
  /** The last bucket that was emptied. */
  swept: number
}

export const make = (): DeadlineWheel => ({ buckets: new Map(), places: new Map(), swept: 0 })

/** Sets the deadline of `id`, in place of an earlier one. */
export const set = (wheel: DeadlineWheel, id: number, deadline: number): void => {
  clear(wheel, id)
  if (!Number.isFinite(deadline)) return
  const bucket = Math.ceil(deadline / tickMillis)
  if (bucket <= wheel.swept) wheel.swept = bucket - 1
  const ids = wheel.buckets.get(bucket)
  if (ids === undefined) wheel.buckets.set(bucket, new Set([id]))
  else ids.add(id)
  wheel.places.set(id, bucket)
}

export const clear = (wheel: DeadlineWheel, id: number): void => {
  const bucket = wheel.places.get(id)
  if (bucket === undefined) return
  wheel.places.delete(id)
  const ids = wheel.buckets.get(bucket)!
  ids.delete(id)
  if (ids.size === 0) wheel.buckets.delete(bucket)
}

/** Takes out the ids whose deadline is at or before `now`. */
export const expired = (wheel: DeadlineWheel, now: number): ReadonlyArray<number> => {
  const due = Math.floor(now / tickMillis)
  if (due <= wheel.swept) return []
  const out: Array<number> = []
  const take = (bucket: number) => {
    const ids = wheel.buckets.get(bucket)
    if (ids === undefined) return
    wheel.buckets.delete(bucket)
    for (const id of ids) {
      wheel.places.delete(id)
      out.push(id)
    }
  }
  if (due - wheel.swept > wheel.buckets.size) { // after a long pause: visit the buckets there are, not those that passed
    for (const bucket of [...wheel.buckets.keys()].toSorted((a, b) => a - b)) if (bucket <= due) take(bucket)
  } else {
    for (let bucket = wheel.swept + 1; bucket <= due; bucket++) take(bucket)
  }
  wheel.swept = due
  return out
}
