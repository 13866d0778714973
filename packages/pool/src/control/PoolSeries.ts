/** The series of one pool: what is read of its Roster when somebody collects. */
import type { Instrument } from "@snakepit/core"
import * as PoolMetrics from "../PoolMetrics.ts"
import type { ToolCounts } from "./CallCounts.ts"
import * as Census from "./Census.ts"
import type { DispatchState } from "./Dispatch.ts"
import { becauses } from "./Recycle.ts"
import type { Roster } from "./Roster.ts"

/** Calls that workers have, by those that they run at once. */
export const saturation = ({ slots, waiting }: Pick<DispatchState, "slots" | "waiting">): number => {
  let calls = 0
  let places = 0
  for (const { calls: { length }, concurrency, tools } of slots) {
    if (tools === undefined) continue
    calls += length
    places += concurrency
  }
  return places === 0 ? Math.min(1, waiting) : calls / places
}

export const begin = (series: Instrument.Series, roster: Roster, openCircuits: () => number): void => {
  const { beats, hostCalls, pool, state } = roster
  const { barrier, counts, ledger } = state
  const of = { pool }
  for (const worker of PoolMetrics.workerStates) {
    series.add(PoolMetrics.workers, { pool, state: worker }, () => Census.of(roster)[worker])
  }
  series.add(PoolMetrics.size, of, () => roster.lifecycle.size)
  series.add(PoolMetrics.queueDepth, of, () => state.waiting)
  series.add(PoolMetrics.queueCapacity, of, () => state.config.queue.capacity)
  series.addHistogram(PoolMetrics.queueWait, of, counts.waits)
  series.add(PoolMetrics.callsOpen, of, () => ledger.accepted - ledger.completed - ledger.failed - ledger.cancelled)
  series.add(PoolMetrics.saturation, of, () => saturation(state))
  series.add(PoolMetrics.accepted, of, () => ledger.accepted)
  series.add(PoolMetrics.retries, of, () => ledger.retried)
  series.add(PoolMetrics.twice, of, () => ledger.twice)
  for (const error of PoolMetrics.errors) series.add(PoolMetrics.failures, { pool, error }, () => counts.errors[error])
  series.add(PoolMetrics.sessions, of, () => state.sessions.byId.size)
  for (const outcome of ["ok", "failed"] as const) series.add(PoolMetrics.hostCalls, { pool, outcome }, () => hostCalls.ended[outcome])
  series.add(PoolMetrics.hostCallsOpen, of, () => hostCalls.size)
  series.add(PoolMetrics.circuits, of, openCircuits)
  series.add(PoolMetrics.quarantined, of, () => [...barrier.quarantine.tools.values()].reduce((sum, count) => sum + count, 0))
  for (const because of becauses) series.add(PoolMetrics.stops, { pool, because }, () => roster.lifecycle.stops[because])
  series.addHistogram(PoolMetrics.heartbeatLatency, of, beats.latency)
  series.add(PoolMetrics.heartbeatMisses, of, () => beats.misses)
  counts.onTool = (tool, toolCounts) => beginTool(series, pool, tool, toolCounts)
}

const beginTool = (series: Instrument.Series, pool: string, tool: string, { duration, ended }: ToolCounts): void => {
  for (const outcome of PoolMetrics.outcomes) series.add(PoolMetrics.calls, { pool, tool, outcome }, () => ended[outcome])
  series.addHistogram(PoolMetrics.callDuration, { pool, tool }, duration)
}
