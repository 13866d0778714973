/**
 * Restart intensity: how many restarts a supervisor may spend within a sliding window before it gives up.
 *
 * **Details**
 *
 * The window is exact to the millisecond: giving up happens on the first restart that makes any interval `[t, t + within)` hold more
 * than `maxRestarts` of them. With the clock `whole seconds` it counts as OTP does, with an inclusive bound, which makes the true window
 * anything in `[period, period + 1 s)`. A decision costs O(1) amortised whatever the limit: each restart enters and leaves the ring once.
 *
 * **Gotchas**
 *
 * A window owns its state and {@link decide} updates it in place; {@link snapshot} copies it.
 */

import type { Semantics } from "./Semantics.ts"

/** At most `maxRestarts` restarts within any `withinMillis`. `maxRestarts: 0` gives up on the first. */
export interface Limit {
  readonly maxRestarts: number
  readonly withinMillis: number
}

/** How a window reads the clock: exactly, or as OTP does. */
export type Clock = Semantics["window"]

/** The restarts still inside the window, oldest at `head`. At most `maxRestarts + 1` entries live in it. */
export interface Window {
  limit: Limit | "unlimited"
  readonly clock: Clock
  times: Array<number>
  head: number
}

/** What {@link decide} answers. `left` is the budget after this restart; `Infinity` without a limit. */
export interface Verdict {
  readonly allowed: boolean
  readonly left: number
}

/** A window that holds the restarts that were `spent` before, oldest first: none by default. */
export const make = (limit: Limit | "unlimited", clock: Clock = "milliseconds", spent: ReadonlyArray<number> = []): Window => ({
  limit,
  clock,
  times: [...spent],
  head: 0
})

/** Restarts that could still be spent at `now` without giving up. */
export const left = (window: Window, now: number): number => {
  if (window.limit === "unlimited") return Number.POSITIVE_INFINITY
  return Math.max(0, window.limit.maxRestarts - (window.times.length - firstAlive(window, window.limit.withinMillis, now)))
}

/** Spends one restart at `now` (milliseconds) and says whether the supervisor may carry it out. */
export const decide = (window: Window, now: number): Verdict => {
  if (window.limit === "unlimited") return { allowed: true, left: Number.POSITIVE_INFINITY }
  expire(window, window.limit.withinMillis, now)
  window.times.push(now)
  const used = window.times.length - window.head
  return { allowed: used <= window.limit.maxRestarts, left: Math.max(0, window.limit.maxRestarts - used) }
}

/** A copy that later decisions do not touch. */
export const snapshot = (window: Window): Window => ({
  limit: window.limit,
  clock: window.clock,
  times: window.times.slice(window.head),
  head: 0
})

/** When the budget has `left` units or more again: the earliest time at or after `now`; `undefined` when never. */
export const freeAt = (window: Window, left: number, now: number): number | undefined => {
  if (window.limit === "unlimited") return now
  const { maxRestarts, withinMillis } = window.limit
  if (left > maxRestarts) return undefined
  const index = window.times.length - 1 - (maxRestarts - left)
  return index < firstAlive(window, withinMillis, now) ? now : expiryOf(window, withinMillis, window.times[index]!)
}

/** The first millisecond at which a restart at `time` no longer counts. */
const expiryOf = (window: Window, withinMillis: number, time: number): number =>
  window.clock === "milliseconds" ? time + withinMillis : (Math.floor(time / 1000) + Math.floor(withinMillis / 1000) + 1) * 1000

/** The oldest restart that still counts at `now`. Reading drops nothing: a later change may widen the window (OTP keeps them as long). */
const firstAlive = (window: Window, withinMillis: number, now: number): number => {
  let low = window.head
  let high = window.times.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (now >= expiryOf(window, withinMillis, window.times[middle]!)) low = middle + 1
    else high = middle
  }
  return low
}

const expire = (window: Window, withinMillis: number, now: number): void => {
  while (window.head < window.times.length && now >= expiryOf(window, withinMillis, window.times[window.head]!)) window.head++
  if (window.head > 32 && window.head * 2 > window.times.length) { // 32: copying fewer entries than that costs less than keeping count
    window.times = window.times.slice(window.head)
    window.head = 0
  }
}
