/** `snakepit incident`: one failure across layers, or which there were. */
import type { Event } from "@snakepit/core"
import { EventLogReader, EventText, FeedClient, type HistoryReader, Incident, IncidentPage, Ink, Watch } from "@snakepit/telemetry"
import { Argument, Command, Flag } from "effect/cli"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { orTell } from "./FoundErrors.ts"
import * as Runs from "./Runs.ts"
import { where } from "./WatchCommand.ts"

/** What {@link show} takes. */
export interface Options {
  readonly id: string | undefined
  /** The last one, when no id is given; else they are listed. */
  readonly last: boolean
  /** The file of an event log. */
  readonly events: string | undefined
  /** Where an application runs, whose feed is asked when no file is named. */
  readonly dataFolder: string | undefined
  readonly run: string | undefined
  readonly json: boolean
  readonly columns: number
  readonly color: boolean
}

/** There is no such incident. */
export class NoIncident extends Schema.TaggedError<NoIncident>()("NoIncident", {
  asked: Schema.UndefinedOr(Schema.String),
  store: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const known = this.known.length === 0 ? "none is told there" : `the last that are told there: ${this.known.slice(-5).join(", ")}` // 5 to choose from
    return this.asked === undefined
      ? `no incident is told in ${this.store}`
      : `no incident ${this.asked} is told in ${this.store}; ${known}`
  }
}

/** Everything that a history has of the time of its incidents, oldest first. */
const eventsOf = (reader: HistoryReader.HistoryReader) => Stream.runCollect(Stream.map(reader.events({}), ({ event }) => event))

/** What an application that runs remembers. */
const recentOf = (run: Runs.LivingRun) =>
  FeedClient.lines(run.feed).pipe(
    Stream.filter((line) => "snapshot" in line),
    Stream.runHead,
    Effect.map((line) => line._tag === "Some" ? line.value.recent : [])
  )

const read = Effect.fnUntraced(function*({ dataFolder, events, run }: Options) {
  if (events !== undefined) return { store: events, events: yield* eventsOf(EventLogReader.make(events)) }
  const living = yield* Runs.find(dataFolder, run)
  return { store: `what run ${living.run.slice(0, 8)} remembers`, events: yield* recentOf(living) }
})

const summary = (incident: Incident.Incident): Ink.Line => [
  Ink.piece(incident.incident.padEnd(14), "bold"),
  Ink.piece(`${new Date(incident.at).toISOString().slice(0, 10)} ${EventText.timeOf(incident.at)}  `, "dim"),
  Ink.piece(incident.outcome.padEnd(10), incident.outcome === "recovered" ? "good" : "bad"),
  Ink.piece(`${Incident.placeOf(incident)}  `),
  Ink.piece(`${incident.calls.length} calls  ${incident.cause.split("\n", 1)[0]}`, "dim")
]

/** Says it on standard output. */
export const show = Effect.fnUntraced(function*(options: Options) {
  const { color, columns, json } = options
  const { events, store } = yield* read(options)
  const known = Incident.ids(events)
  const id = options.id ?? (options.last ? known.at(-1) : undefined)
  const tell = (lines: ReadonlyArray<Ink.Line>) =>
    Console.log(lines.map((line) => color ? Ink.toAnsi(line, true) : Ink.toPlain(line)).join("\n"))
  const gather = (id: string) => Incident.gather(events as Array<Event.Event>, id)
  if (id === undefined && !options.last) {
    const all = known.flatMap((id) => gather(id) ?? [])
    if (json) return yield* Effect.forEach(all, (incident) => Console.log(JSON.stringify(incident)), { discard: true })
    return yield* all.length === 0
      ? Console.log(`no incident is told in ${store}`)
      : tell(all.map((incident) => Ink.fit(summary(incident), columns)))
  }
  const incident = id === undefined ? undefined : gather(id)
  if (incident === undefined) return yield* Effect.fail(new NoIncident({ asked: id, store, known }))
  yield* json ? Console.log(JSON.stringify(incident)) : tell(IncidentPage.render(incident, columns))
})

/** Where it is read: a terminal's width and colours, or those of a log. */
const paper = (): Pick<Options, "columns" | "color"> => ({
  columns: process.stdout.isTTY === true ? process.stdout.columns : 120, // of a log
  color: Watch.isTerminal() && Watch.wantsColor()
})

/** The command. */
export const incident = Command.make("incident", {
  id: Argument.String("id").pipe(
    Argument.optional,
    Argument.withDescription("The incident, as events and logs name it; without one they are listed")
  ),
  last: Flag.Boolean("last").pipe(Flag.withDefault(false), Flag.withDescription("The last one")),
  events: Flag.File("events").pipe(
    Flag.withMetavar("FILE"),
    Flag.optional,
    Flag.withDescription(
      "The file of an event log (telemetry.eventLog); when left out the application that runs is asked, which remembers its last 1000 events"
    )
  ),
  ...where,
  json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("Each incident as one line of JSON"))
}, ({ dataFolder, events, id, run, ...how }) =>
  orTell(show({
    ...how,
    ...paper(),
    id: Option.getOrUndefined(id),
    events: Option.getOrUndefined(events),
    dataFolder: Option.getOrUndefined(dataFolder),
    run: Option.getOrUndefined(run)
  }))).pipe(
    Command.withDescription(
      "Draw one failure across layers: the worker's exit and its cause, what each supervisor decided, and how the calls that it touched ended. " +
        "Exits with 1 when there is none."
    )
  )
