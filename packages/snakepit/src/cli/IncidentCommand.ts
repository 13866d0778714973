/** `snakepit incident`: one failure across layers, or which there were. */
import { EventLogReader, EventText, type HistoryReader, Incident, IncidentPage, Incidents, Ink, Watch } from "@snakepit/telemetry"
import { Argument, Command, Flag } from "effect/cli"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { orTell } from "./FoundErrors.ts"
import * as HistoryCommand from "./HistoryCommand.ts"

/** There is no such incident. */
export class NoIncident extends Schema.TaggedError<NoIncident>()("NoIncident", { asked: Schema.UndefinedOr(Schema.String) }) {
  override get message(): string {
    return this.asked === undefined
      ? "no incident is told there: no supervisor has had to restart a child"
      : `no incident "${this.asked}" is told there. \`snakepit incident\` lists the last ones; another file is read with --file or --events`
  }
}

interface Asked {
  readonly id: string | undefined
  readonly last: boolean
  readonly json: boolean
}

/** Incidents that are listed: a screenful. */
const listed = 20

const summary = (incident: Incident.Incident): Ink.Line => [
  Ink.piece(`${incident.incident}  `, "bold"),
  Ink.piece(`${new Date(incident.at).toISOString().slice(0, 10)} ${EventText.timeOf(incident.at)}  `, "dim"),
  Ink.piece(incident.outcome.padEnd(11), incident.outcome === "recovered" ? "good" : "bad"),
  Ink.piece(`${Incident.placeOf(incident)}  `),
  Ink.piece(`${incident.calls.length} ${incident.calls.length === 1 ? "call" : "calls"}  ${incident.cause.split("\n", 1)[0]}`, "dim")
]

/** A terminal's width and colours, or those of a log. */
const print = (lines: (columns: number) => ReadonlyArray<Ink.Line>) => {
  const columns = process.stdout.isTTY === true ? process.stdout.columns : 120 // of a log
  const color = Watch.isTerminal() && Watch.wantsColor()
  return Console.log(lines(columns).map((line) => color ? Ink.toAnsi(line, true) : Ink.toPlain(line)).join("\n"))
}

const show = Effect.fnUntraced(function*(reader: HistoryReader.HistoryReader, { id, json, last }: Asked) {
  if (id === undefined && !last) {
    const incidents = yield* Incidents.last(reader, listed)
    if (json) return yield* Effect.forEach(incidents, (incident) => Console.log(JSON.stringify(incident)), { discard: true })
    if (incidents.length > 0) return yield* print((columns) => incidents.map((incident) => Ink.fit(summary(incident), columns)))
  }
  const incident = id === undefined ? (yield* Incidents.last(reader, 1))[0] : yield* Incidents.find(reader, id)
  if (incident === undefined) return yield* Effect.fail(new NoIncident({ asked: id }))
  yield* json ? Console.log(JSON.stringify(incident)) : print((columns) => IncidentPage.render(incident, columns))
})

/** The command. */
export const incident = Command.make("incident", {
  id: Argument.String("id").pipe(
    Argument.optional,
    Argument.withDescription(`The incident, as events and logs name it; without one the last ${listed} are listed`)
  ),
  last: Flag.Boolean("last").pipe(Flag.withDefault(false), Flag.withDescription("The last one")),
  events: Flag.File("events").pipe(
    Flag.withMetavar("FILE"),
    Flag.optional,
    Flag.withDescription("The file of an event log (telemetry.eventLog) instead of a history")
  ),
  ...HistoryCommand.where,
  json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("Each incident as one line of JSON"))
}, ({ config, events, file, id, json, last }) =>
  Effect.gen(function*() {
    const reader = Option.isSome(events)
      ? EventLogReader.make(events.value)
      : yield* HistoryCommand.readerOf(HistoryCommand.whereOf({ config, file }))
    yield* show(reader, { id: Option.getOrUndefined(id), last, json })
  }).pipe(orTell)).pipe(
    Command.withDescription(
      "Draw one failure across layers: the worker's exit and its cause, what each supervisor decided, and how the calls that it touched ended. " +
        "Exits with 1 when there is none."
    )
  )
