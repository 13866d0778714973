/**
 * Deadlines of many calls at little cost: buckets of {@link tickMillis}, so that setting and clearing one is O(1) and one timer serves
 * a whole pool. A deadline is met within one tick after its time, never before.
 *
 * **Details**
 *
 * A timer that is set later stays in its bucket and is moved when that one is due: a call that was sent has a later deadline than while it
 * waited, and most are over before either.
 */
import * as Line from "./Line.ts"

/** 10 ms: far below any limit worth setting, far above the cost of a tick. */
export const tickMillis = 10

/** One deadline. */
export interface Timer extends Line.Linked<Timer> {
  readonly id: number
  /** Infinity: never. */
  due: number
  /** The bucket that it stands in. */
  bucket: number
}

export interface DeadlineWheel {
  readonly buckets: Map<number, Line.Line<Timer>>
  /** Timers that are set. */
  size: number
  /** The last bucket that was emptied. */
  swept: number
}

export const make = (): DeadlineWheel => ({ buckets: new Map(), size: 0, swept: 0 })

export const timer = (id: number): Timer => ({
  id,
  due: Number.POSITIVE_INFINITY,
  bucket: 0,
  line: undefined,
  before: undefined,
  after: undefined
})

/** Sets a timer of the wheel, or sets it anew. */
export const set = (wheel: DeadlineWheel, timer: Timer, due: number): void => {
  if (timer.line !== undefined) {
    if (due >= timer.due && Number.isFinite(due)) {
      timer.due = due
      return
    }
    clear(wheel, timer)
  }
  timer.due = due
  if (Number.isFinite(due)) add(wheel, timer)
}

const add = (wheel: DeadlineWheel, timer: Timer): void => {
  const bucket = Math.ceil(timer.due / tickMillis)
  if (bucket <= wheel.swept) wheel.swept = bucket - 1
  let line = wheel.buckets.get(bucket)
  if (line === undefined) wheel.buckets.set(bucket, line = Line.make())
  Line.push(line, timer)
  timer.bucket = bucket
  wheel.size++
}

export const clear = (wheel: DeadlineWheel, timer: Timer): void => {
  const { bucket, line } = timer
  if (line === undefined) return
  Line.leave(timer)
  wheel.size--
  if (line.length === 0) wheel.buckets.delete(bucket)
}

/** Takes out the timers whose deadline is at or before `now`; gives their ids. */
export const expired = (wheel: DeadlineWheel, now: number): ReadonlyArray<number> => {
  const due = Math.floor(now / tickMillis)
  if (due <= wheel.swept) return []
  const out: Array<number> = []
  const later: Array<Timer> = []
  const take = (bucket: number) => {
    const line = wheel.buckets.get(bucket)
    if (line === undefined) return
    for (const timer of Line.members(line)) {
      clear(wheel, timer)
      if (timer.due <= now) out.push(timer.id)
      else later.push(timer)
    }
  }
  if (due - wheel.swept > wheel.buckets.size) { // after a long pause: visit the buckets there are, not those that passed
    for (const bucket of [...wheel.buckets.keys()].toSorted((a, b) => a - b)) if (bucket <= due) take(bucket)
  } else {
    for (let bucket = wheel.swept + 1; bucket <= due; bucket++) take(bucket)
  }
  wheel.swept = due
  for (const timer of later) add(wheel, timer)
  return out
}
