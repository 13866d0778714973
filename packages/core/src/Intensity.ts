/**
 * Restart intensity: how many restarts a supervisor may spend within a sliding window before it gives up.
 *
 * **Details**
 *
 * The window is exact to the millisecond: giving up happens on the first restart that makes any interval `[t, t + within)` hold more
 * than `maxRestarts` of them. (OTP counts whole seconds with an inclusive bound, which makes its true window anything in
 * `[period, period + 1 s)`.) A decision costs O(1) amortised whatever the limit: each restart enters and leaves the ring once.
 *
 * **Gotchas**
 *
 * A window owns its state and {@link decide} updates it in place; {@link snapshot} copies it.
 */

/** At most `maxRestarts` restarts within any `withinMillis`. `maxRestarts: 0` gives up on the first. */
export interface Limit {
  readonly maxRestarts: number
  readonly withinMillis: number
}

/** The restarts still inside the window, oldest at `head`. At most `maxRestarts + 1` entries live in it. */
export interface Window {
  readonly limit: Limit | "unlimited"
  times: Array<number>
  head: number
}

/** What {@link decide} answers. `left` is the budget after this restart; `Infinity` without a limit. */
export interface Verdict {
  readonly allowed: boolean
  readonly left: number
}

/** An empty window. */
export const make = (limit: Limit | "unlimited"): Window => ({ limit, times: [], head: 0 })

/** Restarts that could still be spent at `now` without giving up. */
export const left = (window: Window, now: number): number => {
  if (window.limit === "unlimited") return Number.POSITIVE_INFINITY
  expire(window, window.limit, now)
  return Math.max(0, window.limit.maxRestarts - (window.times.length - window.head))
}

/** Spends one restart at `now` (milliseconds) and says whether the supervisor may carry it out. */
export const decide = (window: Window, now: number): Verdict => {
  if (window.limit === "unlimited") return { allowed: true, left: Number.POSITIVE_INFINITY }
  expire(window, window.limit, now)
  window.times.push(now)
  const used = window.times.length - window.head
  return { allowed: used <= window.limit.maxRestarts, left: Math.max(0, window.limit.maxRestarts - used) }
}

/** A copy that later decisions do not touch. */
export const snapshot = (window: Window): Window => ({
  limit: window.limit,
  times: window.times.slice(window.head),
  head: 0
})

const expire = (window: Window, limit: Limit, now: number): void => {
  while (window.head < window.times.length && now - window.times[window.head]! >= limit.withinMillis) window.head++
  if (window.head > 32 && window.head * 2 > window.times.length) { // 32: copying fewer entries than that costs less than keeping count
    window.times = window.times.slice(window.head)
    window.head = 0
  }
}
