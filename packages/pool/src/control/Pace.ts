/**
 * How many calls a worker is sent ahead of those that it runs: as much work as keeps it busy while results travel back and the next calls
 * come, and no more, because what was sent to one worker cannot go to another that is free earlier.
 *
 * ```text
 *   calls that fit  ≈  concurrency × (1 + 2 × round trip ÷ service time)        0 … 64 of them ahead
 * ```
 *
 * **Details**
 *
 * It is counted in time, not in calls, so that tools may be mixed: a call costs what a call of its tool has kept a worker on average, and a
 * worker is sent more while all that it has costs no more than {@link budget}. A slow tool costs more than that, and so does one that is not
 * known yet: nothing is sent behind it. Nor is anything sent behind a call that is late, whatever its tool is known for.
 *
 * How long a call kept its worker is the time since it was sent, or since the worker's last result if that is later. Results that come in one
 * batch share the time that the batch took: the first is charged all of it and the others nothing, which comes to the same in the mean.
 * What is over at once was sent alone, so its share of the way is charged too; that is made good by twice the round trip.
 */

/** A mean that forgets. */
export interface Mean {
  millis: number
  calls: number
}

/** 64 ms: the clock counts whole milliseconds, and its error over so many is 2 %. */
const memoryMillis = 64

/** 16: a slow tool is judged by as many calls at least. */
const fewCalls = 16

/** 4096: of the fastest tools so many calls take some 10 ms, enough of a clock of milliseconds. */
const manyCalls = 4096

/** 4: the first calls of a tool import and warm up what it needs. */
const knownCalls = 4

/** One second: more than any budget, so nothing is sent behind a call of a tool that is not known. */
const unknownMillis = 1000

/** 1024: more tools than an adapter has. The names of functions come from callers, and are not remembered beyond that. */
const maxTools = 1024

/** 64: beyond it throughput gains nothing, and the worker's queue is out of reach of every policy (measured: performance.md §6). */
export const mostAhead = 64

/** 2 ms: a call that could run elsewhere waits no longer behind others; a round trip over a Unix socket takes a tenth of it. */
export const longestMillis = 2

export interface Pace {
  /** By tool: how long a call keeps its worker. */
  readonly tools: Map<string, Mean>
  /** From sending to the word that a call began, of calls that found their worker idle. */
  readonly trip: Mean
}

/** The round trip counts as 16 calls of a quarter of a millisecond before it is measured: what a Unix socket takes. */
export const make = (): Pace => ({ tools: new Map(), trip: { millis: 4, calls: 16 } })

const add = (mean: Mean, millis: number): void => {
  mean.millis += millis
  mean.calls++
  if (mean.calls >= manyCalls || (mean.millis >= memoryMillis && mean.calls >= fewCalls)) {
    mean.millis /= 2
    mean.calls /= 2
  }
}

/** What a call of `tool` costs. */
export const costOf = ({ tools }: Pace, tool: string): number => {
  const mean = tools.get(tool)
  return mean === undefined || mean.calls < knownCalls ? unknownMillis : Math.min(mean.millis / mean.calls, unknownMillis)
}

/** Notes how long a call kept its worker. */
export const ran = ({ tools }: Pace, tool: string, millis: number): void => {
  const mean = tools.get(tool)
  if (mean !== undefined) add(mean, millis)
  else if (tools.size < maxTools) tools.set(tool, { millis, calls: 1 })
}

/** Notes how long an idle worker took to say that it began. One that takes longer than a budget holds its interpreter: not the channel's fault. */
export const answered = ({ trip }: Pace, millis: number): void => add(trip, Math.min(millis, longestMillis))

/** What the calls that a worker has may cost, in milliseconds, for it to be sent another. Two round trips: one batch is worked on, one is on its way. */
export const budget = ({ trip }: Pace): number => Math.min(2 * trip.millis / trip.calls, longestMillis)
