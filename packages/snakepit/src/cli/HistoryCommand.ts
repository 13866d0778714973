/** `snakepit history`: what supervision has recorded, also while the application runs. */
import { DataFolder } from "@snakepit/bridge"
import { ConfigServer } from "@snakepit/pool"
import { HistoryPlace, type HistoryReader } from "@snakepit/telemetry"
import { Command, Flag } from "effect/cli"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as ConfigSources from "../config/ConfigSources.ts"
import * as RecordedRun from "../RecordedRun.ts"
import { SnakepitConfig } from "../SnakepitConfig.ts"
import { orTell } from "./FoundErrors.ts"
import * as Moment from "./Moment.ts"

/** What was typed means nothing. */
export class NotUnderstood extends Schema.TaggedError<NotUnderstood>()("NotUnderstood", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/** Where to read. */
export interface Where {
  readonly file: string | undefined
  readonly config: string | undefined
}

const configured = Effect.fnUntraced(function*(file: string) {
  const sources = yield* ConfigSources.make({ schema: SnakepitConfig, code: { pools: {} }, file })
  return yield* RecordedRun.placeOf(yield* ConfigServer.decode(SnakepitConfig, yield* sources.read))
}, Effect.scoped)

const placeOf = ({ config, file }: Where) => {
  if (file !== undefined) return Effect.succeed<HistoryPlace.HistoryPlace>({ _tag: "File", file })
  if (config !== undefined) return configured(config)
  return Effect.map(
    DataFolder.make(undefined),
    (found): HistoryPlace.HistoryPlace =>
      "folder" in found ? { _tag: "File", file: `${found.folder}/${HistoryPlace.fileName}` } : { _tag: "Nowhere", why: found.why }
  )
}

const someOf = Effect.fnUntraced(function*(where: Where) {
  const place = yield* placeOf(where)
  return place._tag === "Nowhere"
    ? yield* Effect.fail(new NotUnderstood({ detail: `there is no history: ${place.why}. Name one with --file` }))
    : place
})

/** The history that is meant. */
export const readerOf = (where: Where) => Effect.map(someOf(where), HistoryPlace.reader)

/** The history that is meant, open for as long as the scope is: for many questions. */
export const openReaderOf = (where: Where) => Effect.flatMap(someOf(where), HistoryPlace.openReader)

const time = (millis: number): string => new Date(millis).toISOString()

/** One line for people: when, what, where, and what else it says; the cause last. Pure. */
export const line = ({ event: { at, attributes, measurements, name }, seq }: HistoryReader.Recorded): string => {
  const { cause, heard: _, path, "snakepit.layer": __, ...others } = attributes // what was heard is for a replay
  const facts = Object.entries({ ...others, ...measurements }).filter(([, value]) => value !== undefined)
  return [
    `${time(at)}  ${String(seq).padStart(7)}  ${name.replace(/^snakepit\./, "")}`,
    ...path === undefined ? [] : [String(path)],
    facts.map(([key, value]) => `${key}=${value}`).join(" "),
    ...cause === undefined ? [] : [String(cause).split("\n")[0]!]
  ].filter((part) => part !== "").join("  ")
}

/** One line for people about a run. Pure. */
export const runLine = ({ endedAt, id, startedAt, unreadable }: HistoryReader.Run): string =>
  `${id}  ${time(startedAt)}  ${endedAt === undefined ? "no end: it runs, or its end was not in order" : `ended ${time(endedAt)}`}` +
  (unreadable === undefined ? "" : `  ${unreadable}`)

/** Reads a time; `undefined` when none was given. */
export const moment = (flag: string, text: string | undefined) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const at = text === undefined ? undefined : Moment.parse(text, now)
    return text !== undefined && at === undefined
      ? Effect.fail(
        new NotUnderstood({
          detail: `--${flag} "${text}" is no time: say how long ago, as 90d or "2 hours", or a date, as 2026-11-26T08:00Z`
        })
      )
      : Effect.succeed(at)
  })

/** A flag that may be left out. */
export const optional = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.optional, Flag.withDescription(description))

/** Says where to read, as flags. */
export const where = {
  file: optional("file", "FILE", "The file of the history; by default the one in the data folder"),
  config: optional("config", "FILE", "The application's configuration, which says where its history is: also in PostgreSQL")
}

export const whereOf = ({ config, file }: { readonly config: Option.Option<string>; readonly file: Option.Option<string> }): Where => ({
  config: Option.getOrUndefined(config),
  file: Option.getOrUndefined(file)
})

const json = Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("One JSON object a line"))

const runs = Command.make("runs", { ...where, json }, ({ json, ...where }) =>
  Effect.gen(function*() {
    const reader = yield* readerOf(whereOf(where))
    for (const run of yield* reader.runs) yield* Console.log(json ? JSON.stringify(run) : runLine(run))
  }).pipe(orTell)).pipe(Command.withDescription("Every start, with its end when that was in order."))

/** The command. */
export const history = Command.make("history", {
  ...where,
  json,
  path: optional("path", "PATH", "A path in the tree, or everything below one: snakepit/pools/default/*"),
  since: optional("since", "TIME", "From then on: 90d, \"2 hours\" ago, or a date"),
  until: optional("until", "TIME", "Up to then"),
  name: optional("name", "PATTERN", "Events by name: snakepit.*_supervisor.restart"),
  reason: optional("reason", "TAG", "The tag of the exit reason: Failed, Defect, Killed"),
  incident: optional("incident", "ID", "All that one first exit has set off"),
  run: optional("run", "ID", "Of this run alone"),
  limit: Flag.Int("limit").pipe(Flag.withDefault(100), Flag.withDescription("The last so many of what fits, 100 by default"))
}, ({ config, file, json, limit, since, until, ...query }) =>
  Effect.gen(function*() {
    const reader = yield* readerOf(whereOf({ config, file }))
    const asked: HistoryReader.Query = {
      path: Option.getOrUndefined(query.path),
      name: Option.getOrUndefined(query.name),
      reason: Option.getOrUndefined(query.reason),
      incident: Option.getOrUndefined(query.incident),
      run: Option.getOrUndefined(query.run),
      since: yield* moment("since", Option.getOrUndefined(since)),
      until: yield* moment("until", Option.getOrUndefined(until)),
      limit: Math.max(0, limit)
    }
    yield* Stream.runForEach(reader.events(asked), (recorded) =>
      Console.log(json ? JSON.stringify({ seq: recorded.seq, run: recorded.run, ...recorded.event }) : line(recorded)))
  }).pipe(orTell)).pipe(
    Command.withDescription("What supervision has decided, and what explains it, oldest first; also while the application runs."),
    Command.withSubcommands([runs])
  )
