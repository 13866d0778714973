/** The account of the run: what was accepted must have ended in exactly one outcome, and nothing may be left. */
import type { Pool, Survivors } from "snakepit"

export interface Ledger {
  readonly accepted: number
  readonly completed: number
  readonly retried: number
  /** Accepted, and neither completed nor reported. */
  readonly lost: number
  /** Executed twice although it must not be, by the journal that the workers wrote and by what they said they began. */
  readonly twice: number
  /** Processes left behind, by `/proc`. */
  readonly survivors: number
  readonly restarts: number
  readonly seconds: number
  /** Ended with a typed error. */
  readonly reported: number
}

export interface Evidence {
  readonly pool: Pool.Ledger
  /** The ids in the journal, one a line. */
  readonly journal: ReadonlyArray<number>
  readonly survivors: ReadonlyArray<Survivors.Survivor>
  readonly restarts: number
  readonly seconds: number
}

export const balance = ({ journal, pool, restarts, seconds, survivors }: Evidence): Ledger => ({
  accepted: pool.accepted,
  completed: pool.completed,
  retried: pool.retried,
  lost: pool.accepted - pool.completed - pool.failed - pool.cancelled,
  twice: pool.twice + journal.length - new Set(journal).size,
  survivors: survivors.length,
  restarts,
  seconds: Math.round(seconds * 10) / 10,
  reported: pool.failed
})

/** The run is sound: everything that was to be recorded is recorded once, both harms were recovered from, nothing is left. */
export const isSound = (ledger: Ledger, evidence: Evidence, fits: number): boolean =>
  ledger.lost === 0 && ledger.twice === 0 && ledger.survivors === 0 && ledger.completed + ledger.reported === ledger.accepted &&
  evidence.journal.length === fits && ledger.restarts >= 2
