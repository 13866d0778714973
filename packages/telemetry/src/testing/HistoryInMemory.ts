/**
 * A history in memory, for tests: what a store would hold, given as arrays.
 *
 * **Example** (A history of one run)
 *
 * ```ts
 * import type { Contract, Event } from "@snakepit/core"
 * import { HistoryInMemory } from "@snakepit/telemetry/testing"
 *
 * declare const contract: Contract.Contract
 * declare const events: ReadonlyArray<Event.Event>
 *
 * const history = HistoryInMemory.make([{ id: "one", startedAt: 0, endedAt: undefined, contract, events }])
 * ```
 */
import { type Event, NamePattern } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { HistoryReader, Query, Recorded, Run } from "../history/HistoryReader.ts"

/** A run with its events, in their order; of one host when none is named. */
export interface RecordedRun extends Omit<Run, "host" | "process"> {
  readonly host?: string | undefined
  readonly process?: string | undefined
  readonly events: ReadonlyArray<Event.Event>
}

/** The history of some runs. */
export const make = (runs: ReadonlyArray<RecordedRun>): HistoryReader => {
  let seq = 0
  const recorded: ReadonlyArray<Recorded> = runs.flatMap(({ events, id }) => events.map((event) => ({ seq: ++seq, run: id, event })))
  return {
    runs: Effect.succeed(
      runs.map(({ contract, endedAt, host = "host", id, process = "", startedAt }) => ({ contract, endedAt, host, id, process, startedAt }))
    ),
    events: (query) =>
      Stream.suspend(() => {
        const found = recorded.filter(fits(query))
        return Stream.fromIterable(query.limit === undefined ? found : found.slice(-query.limit))
      })
  }
}

const fits = ({ incident, name, path, reason, run, since, until }: Query) => {
  const named = name === undefined ? undefined : NamePattern.matcher(name)
  return ({ event: { at, attributes, name }, run: of }: Recorded): boolean =>
    (run === undefined || run === of) &&
    (path === undefined || isAt(String(attributes["path"]), path)) &&
    (named === undefined || named(name)) &&
    (incident === undefined || attributes["incident"] === incident) &&
    (reason === undefined || attributes["reason"] === reason) &&
    (since === undefined || at >= since) &&
    (until === undefined || at < until)
}

const isAt = (path: string, wanted: string): boolean => wanted.endsWith("/*") ? path.startsWith(wanted.slice(0, -1)) : path === wanted
