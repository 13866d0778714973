/** Generated runs, recorded and replayed under their own policy. */
import * as Comparison from "@snakepit/telemetry/intensity/Comparison"
import * as Reproduction from "@snakepit/telemetry/intensity/Reproduction"
import * as RunRecord from "@snakepit/telemetry/intensity/RunRecord"
import * as GeneratedRun from "./GeneratedRun.ts"

/** Replays the run of a seed and a number. */
export const replay = (seed: number, index: number): Comparison.Comparison => {
  const { events, run } = GeneratedRun.play(GeneratedRun.caseOf(seed, index))
  const record = RunRecord.of(run, events)
  return Comparison.of(record.decisions, Reproduction.of(record))
}

export interface Tally {
  runs: number
  decisions: number
  incidents: number
  reproduced: number
  /** The numbers of runs that decided otherwise. */
  readonly otherwise: Array<number>
}

export const noTally = (): Tally => ({ runs: 0, decisions: 0, incidents: 0, reproduced: 0, otherwise: [] })

/** Replays the runs of some numbers. */
export const run = (seed: number, indices: Iterable<number>): Tally => {
  const tally = noTally()
  for (const index of indices) {
    const { decisions, differences, incidents, otherwise } = replay(seed, index)
    tally.runs++
    tally.decisions += decisions
    tally.incidents += incidents.size
    tally.reproduced += incidents.size - otherwise.size
    if (differences.length > 0) tally.otherwise.push(index)
  }
  return tally
}
