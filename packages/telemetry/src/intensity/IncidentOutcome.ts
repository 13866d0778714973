/** What became of an incident: what supervisors decided because of one end, from the first restart or refusal to the recovery, across levels. */
import type * as Decision from "./Decision.ts"

/** One incident, by its decisions alone (`live/Incident` has all that is told of it). Times are in Unix milliseconds. */
export interface IncidentOutcome {
  readonly id: string
  /** The path of the child that ended first, and why. */
  readonly child: string
  readonly reason: string
  readonly cause: string
  readonly startedAt: number
  /** When the last of its recoveries was over; `undefined` when none was. */
  readonly recoveredAt: number | undefined
  readonly restarts: number
  /** The supervisors that gave up over it, nearest to the child first. */
  readonly gaveUp: ReadonlyArray<{ readonly path: string; readonly at: number }>
  /** From its first end until it had recovered, or as far as it is known. */
  readonly downMillis: number
}

/** The incidents of decisions, in the order they began. */
export const of = (decisions: ReadonlyArray<Decision.Decision>): ReadonlyArray<IncidentOutcome> => {
  const byId = new Map<string, Array<Decision.Ended | Decision.Recover>>()
  for (const decision of decisions) {
    if (!("incident" in decision) || decision.incident === undefined) continue
    const known = byId.get(decision.incident)
    if (known === undefined) byId.set(decision.incident, [decision])
    else known.push(decision)
  }
  return [...byId].flatMap(([id, decisions]) => {
    const ended = decisions.filter((decision): decision is Decision.Ended => decision.verb !== "recover")
    const first = ended[0]
    if (first === undefined) return [] // its beginning is no longer in the record
    const last = decisions.at(-1)!
    return [{
      id,
      child: `${first.path}/${first.child}`,
      reason: first.reason,
      cause: first.cause,
      startedAt: first.at,
      recoveredAt: last.verb === "recover" ? last.at : undefined,
      restarts: ended.filter(({ verb }) => verb === "restart").length,
      gaveUp: ended.flatMap(({ at, path, verb }) => verb === "give_up" ? { path, at } : []),
      downMillis: last.at - first.at
    }]
  })
}
