/** One open history, whichever database holds it. */
import type { Contract, Event } from "@snakepit/core"
import type * as Effect from "effect/Effect"
import type { HistoryFailed, HistoryReader } from "./HistoryReader.ts"

/** What a start says of itself. */
export interface Start {
  readonly id: string
  /** Unix time in milliseconds. */
  readonly startedAt: number
  /** Whose budgets it goes on with: the same for each start of one host. */
  readonly host: string
  /** By what its process is known again, for who judges whether it lives. */
  readonly process: string
  readonly contract: Contract.Contract
}

/** An event on its way into the history. `position` rises by one within the run: what is written twice is kept once. */
export interface Entry {
  readonly position: number
  readonly event: Event.Event
}

/** A start of the same host. */
export interface PastStart extends Pick<Start, "id" | "startedAt" | "process"> {
  /** `undefined`: it runs, or its end was not in order. */
  readonly endedAt: number | undefined
  /** When its last event was. */
  readonly lastAt: number | undefined
}

/** What is kept. */
export interface Bounds {
  /** Unix time in milliseconds. */
  readonly oldest: number
  readonly maxBytes: number
}

export interface HistoryStore {
  /** Writes that it is there. Again: nothing. */
  readonly begin: (start: Start) => Effect.Effect<void, HistoryFailed>
  /** Writes events of a run that has begun, all or none. The `seq` of each, in order; they are durable then. */
  readonly append: (run: string, entries: ReadonlyArray<Entry>) => Effect.Effect<ReadonlyArray<number>, HistoryFailed>
  /** Writes that the run has ended in order. */
  readonly end: (run: string, at: number) => Effect.Effect<void, HistoryFailed>
  /** Drops some of what is to go, and runs of which no event is left; `own` stays. Events that were dropped: 0 when there is nothing to do. */
  readonly prune: (own: string, bounds: Bounds) => Effect.Effect<number, HistoryFailed>
  /** The starts of a host, oldest first. */
  readonly past: (host: string) => Effect.Effect<ReadonlyArray<PastStart>, HistoryFailed>
  readonly reader: HistoryReader
  /** Where the file of before was put, because it was damaged. */
  readonly setAside: string | undefined
}
