/** Generated trees under generated harm, recorded as a history would record them. */
import { type Contract, type Event, Simulation, type Supervisor } from "@snakepit/core"
import { Generate, TreePlan } from "@snakepit/core/testing"
import type { Numbered } from "@snakepit/telemetry/intensity/RunRecord"

export interface Recorded {
  readonly run: { readonly contract: Contract.Contract; readonly startedAt: number; readonly endedAt: number }
  readonly events: ReadonlyArray<Numbered>
}

export const bootedAt = 1_700_000_000_000

/** A timeline as a history has it: decisions alone, in Unix time. */
export const recorded = (tree: Supervisor.Any, timeline: Simulation.Timeline): Recorded => ({
  run: { contract: tree.contract, startedAt: bootedAt, endedAt: bootedAt + Math.max(timeline.millis, timeline.entries.at(-1)?.at ?? 0) },
  events: timeline.entries.flatMap((entry): ReadonlyArray<Event.Event> => entry._tag === "Event" ? [entry.event] : [])
    .map((event, seq) => ({ seq, event: JSON.parse(JSON.stringify({ ...event, at: event.at + bootedAt })) as Event.Event }))
})

const atOnce = (plan: TreePlan.NodePlan): TreePlan.NodePlan =>
  !TreePlan.isSupervisor(plan)
    ? { ...plan, stopMillis: 0 }
    : TreePlan.isDynamic(plan)
    ? { ...plan, template: atOnce(plan.template) }
    : { ...plan, children: plan.children.map(atOnce) }

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf("/"))

/** What is in the events: no administration but the start of a dynamic child, no start that is ignored, together only what is together. */
const told = (line: TreePlan.Line): ReadonlyArray<TreePlan.Line> => {
  switch (line._tag) {
    case "StopTakes":
    case "TerminateChild":
    case "RestartChild":
    case "DeleteChild":
      return []
    case "FailStarts":
      return [{ ...line, how: "fail" }]
    case "Together": {
      const exits = line.exits.filter(({ path }) => parentOf(path) === parentOf(line.exits[0]!.path))
      return [{ ...line, exits }]
    }
    default:
      return [line]
  }
}

/** A tree with a script for it, in which children stop at once: how long a stop takes is in no event. */
export const caseOf = (seed: number, index: number): TreePlan.Case => {
  const { script, tree } = Generate.bySeed(seed, index)
  return { tree: atOnce(tree) as TreePlan.SupervisorPlan, script: [Simulation.Line.Wait({ millis: 500 }), ...script.flatMap(told)] }
}

export const play = (planned: TreePlan.Case): Recorded => {
  const tree = TreePlan.make(planned.tree)
  return recorded(tree, Simulation.simulate(tree, planned.script.map(TreePlan.line)))
}
