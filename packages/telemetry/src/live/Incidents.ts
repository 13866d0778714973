/** The incidents of a history: asks for as much of it as one incident takes, however long the history is. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { HistoryFailed, HistoryReader, Query, Recorded } from "../history/HistoryReader.ts"
import * as Incident from "./Incident.ts"

/** How long after the last decision the end of a call that was touched is looked for: 1 minute, the default limit of a call. */
const afterMillis = 60_000

/** Decisions that are looked through for the last incidents: some hundred of them. */
const lookedThrough = 2000

const read = (reader: HistoryReader, query: Query): Effect.Effect<ReadonlyArray<Recorded>, HistoryFailed> =>
  Stream.runCollect(reader.events(query))

/** One incident; `undefined` when the history tells none of that id. */
export const find = Effect.fnUntraced(function*(reader: HistoryReader, incident: string) {
  const marked = yield* read(reader, { incident })
  const [first] = marked
  if (first === undefined) return undefined
  const around = yield* read(reader, {
    run: first.run,
    since: first.event.at - Incident.beforeMillis,
    until: marked.at(-1)!.event.at + afterMillis
  })
  return Incident.gather(around.map(({ event }) => event), incident)
})

/** The last incidents, the latest last. */
export const last = Effect.fnUntraced(function*(reader: HistoryReader, count: number) {
  const decisions = yield* read(reader, { name: "snakepit.*_supervisor.*", limit: lookedThrough })
  const ids = Incident.ids(decisions.map(({ event }) => event)).slice(-count)
  const incidents = yield* Effect.forEach(ids, (id) => find(reader, id))
  return incidents.filter((incident) => incident !== undefined)
})
