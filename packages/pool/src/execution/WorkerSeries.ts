/**
 * The series of one worker, by its slot: they begin with its heartbeat, which begins with its stream, and end with that. What the kernel says of its
 * process is read when somebody collects, at most once a second; where the kernel says nothing there are no such series.
 */
import type { Instrument } from "@snakepit/core"
import type { Roster } from "../control/Roster.ts"
import * as PoolMetrics from "../PoolMetrics.ts"
import type { Usage, WorkerSeat } from "../WorkerRuntime.ts"

/** 1 s: several read what one collection wants, and several may collect. */
const keptMillis = 1000

/** What {@link begin} takes. */
export interface Options {
  readonly seat: Pick<WorkerSeat, "pool" | "slot">
  readonly roster: Roster
  /** When the worker was last heard to be alive. */
  readonly heardAt: () => number
  readonly usage: (pid: number) => Usage | undefined
}

export const begin = (series: Instrument.Series, { heardAt, roster, seat, usage }: Options): void => {
  const { clock, generations, pids, state } = roster
  const labels = { pool: seat.pool, slot: String(seat.slot) }
  series.add(PoolMetrics.heartbeatAge, labels, () => (clock.now() - heardAt()) / 1000)
  series.add(PoolMetrics.generation, labels, () => generations.get(seat.slot) ?? 0)
  series.add(PoolMetrics.workerCalls, labels, () => state.slots[seat.slot]?.served ?? 0)

  const look = () => {
    const pid = pids.get(seat.slot)
    return pid === undefined ? undefined : usage(pid)
  }
  const first = look()
  if (first === undefined) return
  let last = first
  let readAt = clock.now()
  const read = (field: keyof Usage) => () => {
    const now = clock.now()
    if (now - readAt >= keptMillis) {
      readAt = now
      last = look() ?? last // it has just ended
    }
    return last[field]
  }
  series.add(PoolMetrics.memory, labels, read("memoryBytes"))
  series.add(PoolMetrics.cpu, labels, read("cpuSeconds"))
  series.add(PoolMetrics.fds, labels, read("fileDescriptors"))
  series.add(PoolMetrics.threads, labels, read("threads"))
}
