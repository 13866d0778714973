/**
 * What the events of supervisors come to: restarts and give-ups, by kind of supervisor, pool, and how a child ended; and how near they lately came to
 * giving up. A pure fold, which the bus feeds from the first event on.
 *
 * ```text
 *  begin of a supervisor ─▶ there from then on ─▶ its restarts, its give-ups ─▶ pools_supervisor.stand of its pool: gone
 *                                                what comes after that, of what was left behind, begins nothing
 * ```
 */
import type { Event, ExitReason } from "@snakepit/core"
import { keyOf, type Kind, kinds } from "./SupervisorMetrics.ts"

/** What the supervisors of one kind in one pool have decided; above the pools `pool` is empty. */
export interface Decided {
  readonly supervisor: Kind
  readonly pool: string
  readonly restarts: Record<ExitReason.ExitReason["_tag"], number>
  giveUps: number
  /** Restarts within its window that each of them may need, by path; unlimited ones are not there. */
  readonly limits: Map<string, number>
  /** The least share of a budget that was left at a restart or a give-up, and when that was: see {@link leastLeft}. */
  least: number
  leastAt: number
}

/**
 * 1 minute: a worker spends its budget in ten seconds and has it back in as many, a pool in thirty. Whoever collects at least once a minute
 * sees each such burst.
 */
const heldMillis = 60_000

/** The least share of a budget that was left within the last minute; 1 where nothing was spent. */
export const leastLeft = ({ least, leastAt }: Decided, now: number): number => now - leastAt < heldMillis ? least : 1

/** By kind and pool. The state belongs to the fold, which updates it in place. */
export type State = Map<string, Decided>

export const make = (): State => new Map()

const pattern = /^snakepit\.(\w+)_supervisor\.(\w+)$/

/** The kind of supervisor that an event is of, and what was decided. */
const read = (name: string): { readonly supervisor: Kind; readonly verb: string } | undefined => {
  const [, kind, verb] = pattern.exec(name) ?? []
  const supervisor = kinds.find((known) => known === kind)
  return supervisor === undefined || verb === undefined ? undefined : { supervisor, verb }
}

/** Takes one event in, heard `now`. Gives what has begun with it, and what is over: a pool that was taken away. */
export const take = (
  state: State,
  { attributes, measurements, name }: Event.Event,
  now: number
): { readonly begun: ReadonlyArray<Decided>; readonly over: ReadonlyArray<Decided> } => {
  const of = read(name)
  if (of === undefined) return nothing
  const { supervisor, verb } = of
  if (supervisor === "pools" && verb === "stand" && attributes["status"] === "gone") return forget(state, String(attributes["child"]))
  const pool = String(attributes["pool"] ?? "")
  const path = String(attributes["path"])
  const key = keyOf(supervisor, pool)
  const present = state.get(key)
  if (verb === "begin") {
    const decided = present ?? begin(supervisor, pool)
    state.set(key, decided)
    limit(decided, path, measurements["maxRestarts"])
    return present === undefined ? { begun: [decided], over: [] } : nothing
  }
  if (present === undefined) return nothing
  if (verb === "restart") present.restarts[attributes["reason"] as ExitReason.ExitReason["_tag"]]++
  if (verb === "give_up") present.giveUps++
  if (verb === "restart" || verb === "give_up") spend(present, path, measurements["budgetLeft"], now)
  return nothing
}

const limit = ({ limits }: Decided, path: string, maxRestarts: number | undefined): void => {
  if (maxRestarts === undefined || maxRestarts === 0) limits.delete(path) // where none is allowed at all, nothing is spent
  else limits.set(path, maxRestarts)
}

const spend = (decided: Decided, path: string, budgetLeft: number | undefined, now: number): void => {
  const allowed = decided.limits.get(path)
  if (allowed === undefined || budgetLeft === undefined) return
  const left = budgetLeft / allowed
  if (left > leastLeft(decided, now)) return
  decided.least = left
  decided.leastAt = now
}

const nothing = { begun: [], over: [] } as const

const begin = (supervisor: Kind, pool: string): Decided => ({
  supervisor,
  pool,
  restarts: { Normal: 0, Shutdown: 0, Killed: 0, Failed: 0, Defect: 0 },
  giveUps: 0,
  limits: new Map(),
  least: 1,
  leastAt: Number.NEGATIVE_INFINITY
})

const forget = (state: State, pool: string) => {
  const over = [...state.values()].filter((decided) => decided.pool === pool)
  for (const { supervisor } of over) state.delete(keyOf(supervisor, pool))
  return { begun: [], over }
}
