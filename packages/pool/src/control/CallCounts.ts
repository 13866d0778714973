/**
 * Counts how the calls of one pool end: plain numbers, beside the ledger. Whoever collects reads them; no call meets a collector.
 *
 * **Details**
 *
 * Times are those that the dispatch machine was given anyway, in whole milliseconds.
 */
import { Instrument } from "@snakepit/core"
import type { CallError } from "../CallError.ts"
import * as PoolMetrics from "../PoolMetrics.ts"

/** The calls of one tool. */
export interface ToolCounts {
  readonly ended: Record<PoolMetrics.Outcome, number>
  readonly duration: Instrument.Histogram
}

/** 1024: of more calls a second, the last so many tell as much, and to sort them takes less than 0.1 ms. */
const recentCalls = 1024

export class CallCounts {
  readonly tools = new Map<string, ToolCounts>()
  readonly errors: Record<CallError["_tag"], number>
  readonly waits = new Instrument.Histogram(PoolMetrics.queueWait)
  /** Is told of each tool at its first call. */
  onTool: (tool: string, counts: ToolCounts) => void = () => {}
  /** How long the last calls took, in milliseconds, in a ring; and how many there were. */
  private readonly recent = new Float64Array(recentCalls)
  private recorded = 0

  constructor() {
    this.errors = Object.fromEntries(PoolMetrics.errors.map((tag) => [tag, 0])) as typeof this.errors
  }

  /** `known`: the tools that have series of their own. */
  completed(tool: string, known: Known, millis: number): void {
    const counts = this.of(tool, known)
    counts.ended.ok++
    this.took(counts, millis)
  }

  /** An accepted call ended with an error. */
  failed(tool: string, known: Known, error: CallError, millis: number): void {
    this.took(this.refused(tool, known, error), millis)
  }

  /** A call was not accepted. */
  refused(tool: string, known: Known, error: CallError): ToolCounts {
    const counts = this.of(tool, known)
    counts.ended[PoolMetrics.outcomeOf(error)]++
    this.errors[error._tag]++
    return counts
  }

  /** Its caller went away first. */
  cancelled(tool: string, known: Known): void {
    this.of(tool, known).ended.cancelled++
  }

  /** A call was sent that has waited so long. */
  sent(millis: number): void {
    this.waits.record(millis / 1000)
  }

  /** Calls that had an outcome up to now: what {@link quantiles} counts from. */
  get mark(): number {
    return this.recorded
  }

  /** How long calls took since `mark`, in milliseconds, for each share; all `undefined` when there were none. */
  quantiles(mark: number, shares: ReadonlyArray<number>): ReadonlyArray<number | undefined> {
    const count = Math.min(this.recorded - mark, recentCalls)
    const times = new Float64Array(count)
    for (let i = 0; i < count; i++) times[i] = this.recent[(this.recorded - 1 - i) % recentCalls]!
    times.sort()
    return shares.map((share) => count === 0 ? undefined : times[Math.max(0, Math.ceil(share * count) - 1)])
  }

  private took({ duration }: ToolCounts, millis: number): void {
    duration.record(millis / 1000)
    this.recent[this.recorded++ % recentCalls] = millis
  }

  private of(tool: string, known: Known): ToolCounts {
    const present = this.tools.get(tool)
    if (present !== undefined) return present
    const isOther = tool !== PoolMetrics.otherTool && (known?.has(tool) !== true || this.tools.size >= PoolMetrics.mostTools)
    if (isOther) return this.of(PoolMetrics.otherTool, known)
    const made: ToolCounts = {
      ended: { ok: 0, failed: 0, refused: 0, timeout: 0, lost: 0, cancelled: 0 },
      duration: new Instrument.Histogram(PoolMetrics.callDuration)
    }
    this.tools.set(tool, made)
    this.onTool(tool, made)
    return made
  }
}

type Known = ReadonlyMap<string, unknown> | undefined
