/** The applications that run on this system, as their data folder knows them. */
import * as DataFolder from "@snakepit/bridge/process/DataFolder"
import * as HostPlace from "@snakepit/bridge/process/HostPlace"
import * as StartSweep from "@snakepit/bridge/process/StartSweep"
import { EventFeed } from "@snakepit/telemetry"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** One application that runs. */
export interface LivingRun {
  readonly run: string
  readonly pid: number
  /** The socket of its event feed; nobody may serve it. */
  readonly feed: string
}

/** None runs, or none that was meant, or several may be meant. */
export class RunUnclear extends Schema.TaggedError<RunUnclear>()("RunUnclear", {
  dataFolder: Schema.String,
  asked: Schema.UndefinedOr(Schema.String),
  living: Schema.Array(Schema.Struct({ run: Schema.String, pid: Schema.Int }))
}) {
  override get message(): string {
    const { asked, dataFolder, living } = this
    if (living.length === 0) {
      return `no application runs on the data folder ${dataFolder}. If yours uses another one, name it: --data-folder, or SNAKEPIT_DATA_DIR`
    }
    const runs = living.map(({ pid, run }) => `\n  --run ${run.slice(0, 8)}   pid ${pid}`).join("")
    return asked === undefined
      ? `${living.length} applications run on the data folder ${dataFolder}; say which:${runs}`
      : `no run, or more than one, begins with "${asked}" on the data folder ${dataFolder}; these live:${runs}`
  }
}

/** The living runs of a data folder. Looks only. */
export const living = (dataFolder: string): Effect.Effect<ReadonlyArray<LivingRun>> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const place = HostPlace.here()
    if (place === undefined) return []
    return StartSweep.survey(dataFolder, place, now).flatMap((found) => {
      if (found.standing !== "living" || !("journal" in found)) return []
      const { folder, pid, runId } = found.journal.header
      return folder === undefined ? [] : [{ run: runId, pid, feed: EventFeed.pathOf(folder) }]
    })
  })

/** Pure: the one that is meant. */
export const choose = (
  dataFolder: string,
  runs: ReadonlyArray<LivingRun>,
  asked: string | undefined
): Effect.Effect<LivingRun, RunUnclear> => {
  const meant = runs.filter(({ run }) => asked === undefined || run.startsWith(asked))
  return meant.length === 1
    ? Effect.succeed(meant[0]!)
    : Effect.fail(new RunUnclear({ dataFolder, asked, living: runs.map(({ pid, run }) => ({ run, pid })) }))
}

/** The run that is meant, on the data folder that is meant. */
export const find = Effect.fnUntraced(function*(dataFolder: string | undefined, asked: string | undefined) {
  const data = yield* DataFolder.make(dataFolder)
  const folder = "folder" in data ? data.folder : data.why
  return yield* choose(folder, "folder" in data ? yield* living(folder) : [], asked)
})
