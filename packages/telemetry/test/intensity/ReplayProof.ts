/** Generated runs, recorded and replayed under their own policy. */
import { Generate } from "@snakepit/core/testing"
import * as IncidentOutcome from "@snakepit/telemetry/intensity/IncidentOutcome"
import * as RunRecord from "@snakepit/telemetry/intensity/RunRecord"
import * as GeneratedRun from "./GeneratedRun.ts"

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
    const { events, run } = GeneratedRun.play(Generate.bySeed(seed, index))
    const { decisions, lives: { reproduction } } = RunRecord.of(run, events)
    const incidents = IncidentOutcome.of(decisions)
    tally.runs++
    tally.decisions += decisions.length
    tally.incidents += incidents.length
    tally.reproduced += incidents.filter(({ id }) => !reproduction.otherwise.has(id) && !reproduction.unknown.has(id)).length
    if (reproduction.differences.length > 0) tally.otherwise.push(index)
  }
  return tally
}
