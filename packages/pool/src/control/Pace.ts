/**
 * How many calls a worker is sent ahead of those that it runs: as much work as keeps it busy while results travel back and the next calls
 * come, and no more, because what was sent to one worker cannot go to another that is free earlier.
 *
 * ```text
 *   calls that fit  ≈  concurrency × (1 + 2 × round trip ÷ service time)        0 … 128 of them ahead
 * ```
 *
 * **Details**
 *
 * It is counted in time, not in calls, so that tools may be mixed: a call costs its share of what a call of its tool runs on average, and a
 * worker is sent more while all that it has costs no more than {@link budget}. A slow tool costs more than that, and so does one that is not
 * known yet: nothing is sent behind it. Nor is anything sent behind a call that is late, whatever its tool is known for.
 *
 * While tenants share the pool less is sent ahead: a queue that lies in the worker is one in which they do not take turns.
 *
 * Workers tell how long the code of a call ran. From outside it cannot be told: results come in batches, and a batch that came late looks the
 * same whether the tool or the way took the time. The way is what remains of the time of a call that its worker had alone.
 */

/** A moving average, in milliseconds. */
export interface Mean {
  millis: number
  /** At most {@link memory}. */
  calls: number
}

/** 64: one call in a hundred that is long does not slow down the others of its tool for long, and a tool that turned slow is found in dozens. */
const memory = 64

/** 4: the first calls of a tool import and warm up what it needs. */
const knownCalls = 4

/** One second: more than any budget, so nothing is sent behind a call of a tool that is not known. */
const unknownMillis = 1000

/** 8 ms: slower than that is slow, however slow; a worker that was held up once is not taken for slow for long. */
const slowMillis = 8

/** 1024: more tools than an adapter has. The names of functions come from callers, and are not remembered beyond that. */
const maxTools = 1024

/** 128: a message costs as much as some ten calls, and holds no more than were sent ahead (measured at 256 in flight: a third less than with 64). */
export const mostAhead = 128

/** 20: on the worker no turns are taken (measured: beside a heavy tenant a light one's p99 is 4 times its own with 16, 5 with 32, 9 with 64). */
export const mostAheadShared = 20

/** 100 ms: a tenant whose calls come one after the other shares the pool between them too. */
export const sharedMillis = 100

/** 2 ms: a call that could run elsewhere waits no longer behind others; a round trip over a Unix socket takes a tenth of it. */
export const longestMillis = 2

/** A quarter of a millisecond: what a round trip over a Unix socket takes at least when one process has to be woken (performance.md §2), twice. */
const leastMillis = 0.25

export interface Pace {
  /** By tool: how long its code runs. */
  readonly tools: Map<string, Mean>
  /** There and back. */
  readonly trip: Mean
  /** Whose call was offered last. */
  tenant: string | undefined
  /** Until then tenants share the pool. */
  sharedUntil: number
}

export const make = (): Pace => ({ tools: new Map(), trip: { millis: 0, calls: 0 }, tenant: undefined, sharedUntil: 0 })

const add = (mean: Mean, millis: number): void => {
  if (mean.calls < memory) mean.calls++
  mean.millis += (millis - mean.millis) / mean.calls
}

/** What a call of `tool` costs a worker that runs one at a time. */
export const costOf = ({ tools }: Pace, tool: string): number => {
  const mean = tools.get(tool)
  return mean === undefined || mean.calls < knownCalls ? unknownMillis : mean.millis
}

/** Notes how long the code of a call ran. */
export const ran = ({ tools }: Pace, tool: string, millis: number): void => {
  const sample = Math.min(millis, slowMillis)
  const mean = tools.get(tool)
  if (mean !== undefined) add(mean, sample)
  else if (tools.size < maxTools) tools.set(tool, { millis: sample, calls: 1 })
}

/** Notes how long a call was on its way. A clock of whole milliseconds is wrong by as much in either direction: right on average. */
export const travelled = ({ trip }: Pace, millis: number): void => add(trip, Math.min(millis, longestMillis))

/** Notes whose call is offered. */
export const offered = (pace: Pace, tenant: string, now: number): void => {
  if (tenant === pace.tenant) return
  if (pace.tenant !== undefined) pace.sharedUntil = now + sharedMillis
  pace.tenant = tenant
}

/** How many calls a worker may have beside those that it runs. */
export const limit = ({ sharedUntil }: Pace, now: number): number => now < sharedUntil ? mostAheadShared : mostAhead

/** What the calls that a worker has may cost for it to be sent another. Two round trips: while one batch is worked on, another is on its way. */
export const budget = ({ trip }: Pace): number => Math.min(Math.max(2 * trip.millis, leastMillis), longestMillis)
