/** The file of an event log (`telemetry.eventLog`) as a history: for `snakepit incident --events FILE`, and for tests. */
import type { Event } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { readFile } from "node:fs/promises"
import { matcher } from "../EventBus.ts"
import { HistoryFailed, type HistoryReader, type Query, type Recorded } from "./HistoryReader.ts"

const Value = Schema.Union([Schema.String, Schema.Finite, Schema.Boolean])
const decodeEvent = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({
  name: Schema.String,
  at: Schema.Finite,
  measurements: Schema.Record(Schema.String, Schema.Finite),
  attributes: Schema.Record(Schema.String, Value)
})))

/** Says whether an event is asked for. A file of events is of one run, or of several that nothing tells apart: `run` is not looked at. */
export const asked = ({ incident, name, path, reason, since, until }: Query): (event: Event.Event) => boolean => {
  const fitsName = name === undefined ? undefined : matcher(name)
  const below = path?.endsWith("/*") === true ? path.slice(0, -1) : undefined
  return ({ at, attributes, name }) => {
    const where = String(attributes["path"])
    return (fitsName === undefined || fitsName(name)) &&
      (path === undefined || (below === undefined ? where === path : where.startsWith(below))) &&
      (incident === undefined || attributes["incident"] === incident) &&
      (reason === undefined || attributes["reason"] === reason) &&
      (since === undefined || at >= since) && (until === undefined || at < until)
  }
}

/**
 * Reads the file anew at each question. A line that is no event is passed by: the last one may be half written. It knows no runs, for the
 * file holds no contracts.
 */
export const make = (file: string): HistoryReader => ({
  runs: Effect.succeed([]),
  events: (query) =>
    Stream.unwrap(
      Effect.tryPromise({
        try: () => readFile(file, "utf8"),
        catch: (cause) => new HistoryFailed({ store: file, doing: "read", detail: cause instanceof Error ? cause.message : String(cause) })
      }).pipe(Effect.map((text) => {
        const isAsked = asked(query)
        const recorded = text.split("\n").flatMap((line, seq): ReadonlyArray<Recorded> => {
          const event = Option.getOrUndefined(decodeEvent(line))
          return event !== undefined && isAsked(event) ? [{ seq, run: file, event }] : []
        })
        return Stream.fromIterable(query.limit === undefined ? recorded : recorded.slice(-query.limit))
      }))
    )
})
