/** One recorded run, read: what its supervisors decided, and, when asked for, the lives of their children. */
import { Contract, type Event } from "@snakepit/core"
import * as Decision from "./Decision.ts"
import * as Lives from "./Lives.ts"
import { contractAt } from "./Place.ts"

/** A run, read. */
export interface RunRecord {
  readonly contract: Contract.Contract
  readonly startedAt: number
  readonly endedAt: number
  readonly decisions: ReadonlyArray<Decision.Decision>
  /** Read when it is asked for first: not everybody needs it. */
  readonly lives: Lives.Lives
  /** Paths that the contract does not know: they are in no run under another policy. */
  readonly strangers: ReadonlySet<string>
}

/** One recorded event, with its place in the record. */
export interface Numbered {
  readonly seq: number
  readonly event: Event.Event
}

/** Reads a run. `events` are in the order of their record; what no supervisor decided is passed over. */
export const of = (
  run: { readonly contract: Contract.Contract; readonly startedAt: number; readonly endedAt: number | undefined },
  events: ReadonlyArray<Numbered>
): RunRecord => {
  const { contract } = run
  const decisions = events.flatMap(({ event, seq }) => Decision.of(event, seq) ?? [])
  const startedAt = Math.min(run.startedAt, decisions[0]?.at ?? run.startedAt)
  const last = decisions.at(-1)?.at ?? startedAt
  let lives: Lives.Lives | undefined
  return {
    contract,
    startedAt,
    endedAt: Math.max(run.endedAt ?? last, last),
    decisions,
    get lives() {
      return lives ??= Lives.of(contract, startedAt, decisions)
    },
    strangers: strangersOf(contract, decisions)
  }
}

const strangersOf = (contract: Contract.Contract, decisions: ReadonlyArray<Decision.Decision>): ReadonlySet<string> =>
  new Set(decisions.flatMap((decision) => {
    if (decision.verb === "start" || decision.child === undefined) return []
    const { children = [] } = contractAt(contract, decision.path) ?? {}
    const isKnown = children.some(({ id }) => id === decision.child || id === Contract.templateKey)
    return isKnown ? [] : [`${decision.path}/${decision.child}`]
  }))
