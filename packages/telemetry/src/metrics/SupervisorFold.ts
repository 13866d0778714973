/**
 * What the events of supervisors come to: restarts and give-ups, by kind of supervisor, pool, and how a child ended. A pure fold: the bus feeds it,
 * and so may a history.
 */
import type { Event, ExitReason } from "@snakepit/core"
import { keyOf, type Kind, kinds } from "./SupervisorMetrics.ts"

/** What the supervisors of one kind in one pool have decided; above the pools `pool` is empty. */
export interface Decided {
  readonly supervisor: Kind
  readonly pool: string
  readonly restarts: Record<ExitReason.ExitReason["_tag"], number>
  giveUps: number
}

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

/** Takes one event in. Gives what has begun with it, and what is over: a pool that was taken away. */
export const take = (
  state: State,
  { attributes, name }: Event.Event
): { readonly begun: ReadonlyArray<Decided>; readonly over: ReadonlyArray<Decided> } => {
  const of = read(name)
  if (of === undefined) return nothing
  const { supervisor, verb } = of
  if (supervisor === "pools" && verb === "terminate" && typeof attributes["child"] === "string") return forget(state, attributes["child"])
  const pool = String(attributes["pool"] ?? "")
  const key = keyOf(supervisor, pool)
  const present = state.get(key)
  const decided = present ?? begin(supervisor, pool)
  if (present === undefined) state.set(key, decided)
  if (verb === "restart") decided.restarts[attributes["reason"] as ExitReason.ExitReason["_tag"]]++
  if (verb === "give_up") decided.giveUps++
  return present === undefined ? { begun: [decided], over: [] } : nothing
}

const nothing = { begun: [], over: [] } as const

const begin = (supervisor: Kind, pool: string): Decided => ({
  supervisor,
  pool,
  restarts: { Normal: 0, Shutdown: 0, Killed: 0, Failed: 0, Defect: 0 },
  giveUps: 0
})

const forget = (state: State, pool: string) => {
  const over = [...state.values()].filter((decided) => decided.pool === pool)
  for (const { supervisor } of over) state.delete(keyOf(supervisor, pool))
  return { begun: [], over }
}
