/** Generated trees under generated harm, recorded as a history would record them. */
import { type Contract, type Event, type RestartMemory, Simulation, type Supervisor } from "@snakepit/core"
import { TreePlan } from "@snakepit/core/testing"
import type { Numbered } from "@snakepit/telemetry/intensity/RunRecord"

export interface Recorded {
  readonly run: { readonly contract: Contract.Contract; readonly startedAt: number; readonly endedAt: number }
  readonly events: ReadonlyArray<Numbered>
}

export const bootedAt = 1_700_000_000_000

/** What a history has of a script that was played: decisions alone, in Unix time. */
export const recorded = (tree: Supervisor.Any, script: ReadonlyArray<Simulation.Line>, memory?: RestartMemory.RestartMemory): Recorded => {
  const { entries, millis } = Simulation.simulate(tree, script, { memory, hear: () => {} }) // a history watches
  return {
    run: { contract: tree.contract, startedAt: bootedAt, endedAt: bootedAt + Math.max(millis, entries.at(-1)?.at ?? 0) },
    events: entries.flatMap((entry): ReadonlyArray<Event.Event> => entry._tag === "Event" ? [entry.event] : [])
      .map((event, seq) => ({ seq, event: inUnixTime(event) }))
  }
}

const inUnixTime = (event: Event.Event): Event.Event => {
  const later = (key: string, value: unknown): unknown =>
    key === "at" ? bootedAt + Number(value) : key === "spent" ? (value as ReadonlyArray<number>).map((at) => bootedAt + at) : value
  const heard = JSON.stringify(JSON.parse(String(event.attributes["heard"]), later))
  return JSON.parse(JSON.stringify({ ...event, at: event.at + bootedAt, attributes: { ...event.attributes, heard } }))
}

/** A generated tree under generated harm, to be played. */
export const play = ({ script, tree }: TreePlan.Case): Recorded => recorded(TreePlan.make(tree), script.map(TreePlan.line))
