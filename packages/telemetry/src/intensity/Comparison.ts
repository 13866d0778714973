/** What a run decided beside what it decided when it was made to happen again. */
import type * as Decision from "./Decision.ts"

/** A decision that a replay lacks (`replayed` absent), has too many (`recorded` absent), or has otherwise. */
export interface Difference {
  readonly recorded: Decision.Decision | undefined
  readonly replayed: Decision.Decision | undefined
}

/** Incidents and decisions that were compared, and which were not the same. */
export interface Comparison {
  readonly decisions: number
  /** By their id: an incident is the same when each of its decisions is. */
  readonly incidents: ReadonlySet<string>
  readonly otherwise: ReadonlySet<string>
  readonly differences: ReadonlyArray<Difference>
}

/**
 * Compares what was decided of each child, in its order: the verb, the time, the stage and the reason of its end, the delay, the budget that
 * is left, how long the recovery took, and what belongs to one incident. Incidents may have other ids.
 *
 * Within one millisecond the order among different children is not compared, nor is the number of victims: those that ended by themselves
 * in that moment are in no event.
 */
export const of = (recorded: ReadonlyArray<Decision.Decision>, replayed: ReadonlyArray<Decision.Decision>): Comparison => {
  const before = byChild(recorded)
  const after = byChild(replayed)
  const incidents = new Set<string>()
  const otherwise = new Set<string>()
  const differences: Array<Difference> = []
  const names = new Map<string, string>()
  const taken = new Set<string>()
  const isRenamed = (was: string | undefined, is: string | undefined): boolean => {
    if (was === undefined || is === undefined) return was === is
    const known = names.get(was)
    if (known !== undefined) return known === is
    if (taken.has(is)) return false
    taken.add(is)
    names.set(was, is)
    return true
  }
  let decisions = 0
  for (const child of new Set([...before.keys(), ...after.keys()])) {
    const was = before.get(child) ?? []
    const is = after.get(child) ?? []
    decisions += was.length
    for (let index = 0; index < Math.max(was.length, is.length); index++) {
      const [recorded, replayed] = [was[index], is[index]]
      const incident = recorded && incidentOf(recorded)
      if (incident !== undefined) incidents.add(incident)
      const isSame = recorded !== undefined && replayed !== undefined && textOf(recorded) === textOf(replayed)
      if (isSame && isRenamed(incidentOf(recorded), incidentOf(replayed))) continue
      if (incident !== undefined) otherwise.add(incident)
      differences.push({ recorded, replayed })
    }
  }
  return { decisions, incidents, otherwise, differences }
}

type Compared = Decision.Ended | Decision.Recover

const byChild = (decisions: ReadonlyArray<Decision.Decision>): ReadonlyMap<string, ReadonlyArray<Compared>> => {
  const byChild = new Map<string, Array<Compared>>()
  for (const decision of decisions) {
    if (decision.verb === "start" || decision.verb === "terminate") continue
    const child = `${decision.path}/${decision.child}`
    const known = byChild.get(child)
    if (known === undefined) byChild.set(child, [decision])
    else known.push(decision)
  }
  return byChild
}

const incidentOf = ({ incident }: Compared): string | undefined => incident

const textOf = (decision: Compared): string =>
  decision.verb === "recover"
    ? `recover ${decision.at} ${decision.tookMillis}`
    : [decision.verb, decision.at, decision.stage, decision.reason, decision.delayMillis, decision.budgetLeft, decision.refusedBy].join(" ")
