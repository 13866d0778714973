/** What can be asked of the history of supervision, whichever store holds it. */
import type { Contract, Event } from "@snakepit/core"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"

/** One run of an application, from its start to its end. */
export interface Run {
  readonly id: string
  /** Whose runs follow each other: the same for each start of one host. */
  readonly host: string
  /** By what its process is known again, for who judges whether it lives. */
  readonly process: string
  /** Unix time in milliseconds. */
  readonly startedAt: number
  /** `undefined`: it runs, or it was killed, did not come up, or its tree gave up. */
  readonly endedAt: number | undefined
  /** What its tree promised, with the limits that it had. */
  readonly contract: Contract.Contract
}

/** One event that is recorded. `seq` rises with each. */
export interface Recorded {
  readonly seq: number
  readonly run: string
  readonly event: Event.Event
}

/** Which events; all that is given must hold. */
export interface Query {
  readonly run?: string | undefined
  /** A path, or what ends in `/*`: everything below one. */
  readonly path?: string | undefined
  /** A pattern of names, as the bus has them: `snakepit.*_supervisor.restart`. */
  readonly name?: string | undefined
  readonly incident?: string | undefined
  /** The tag of an exit reason. */
  readonly reason?: string | undefined
  /** Unix time in milliseconds, inclusive. */
  readonly since?: number | undefined
  /** Unix time in milliseconds, exclusive. */
  readonly until?: number | undefined
  /** The last so many of what fits. */
  readonly limit?: number | undefined
}

/** The store could not be read or written. */
export class HistoryFailed extends Schema.TaggedError<HistoryFailed>()("HistoryFailed", {
  /** The file, or the database without its password. */
  store: Schema.String,
  doing: Schema.String,
  detail: Schema.String,
  /** What is stored there is damaged. */
  damaged: Schema.optional(Schema.Boolean)
}) {
  override get message(): string {
    return `the history in ${this.store} could not be ${this.doing}: ${this.detail}`
  }
}

/** Reads a history, oldest first. */
export interface HistoryReader {
  readonly runs: Effect.Effect<ReadonlyArray<Run>, HistoryFailed>
  readonly events: (query: Query) => Stream.Stream<Recorded, HistoryFailed>
}
