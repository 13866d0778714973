/** `snakepit watch`: an application that runs elsewhere on this system, drawn from its event feed. */
import type { FeedLine } from "@snakepit/telemetry"
import { FeedClient, LiveTree, LiveView, News, Watch } from "@snakepit/telemetry"
import { Command, Flag } from "effect/cli"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { orTell } from "./FoundErrors.ts"
import * as Runs from "./Runs.ts"

interface Options {
  readonly dataFolder: string | undefined
  /** The beginning of a run's id. */
  readonly run: string | undefined
  readonly plain: boolean
  readonly json: boolean
}

/** The application that is watched, as far as it has told. */
interface Watched {
  shown: LiveView.Shown
  dropped: number
  ended: string | undefined
}

const nothing = (): Watched => ({ shown: { tree: LiveTree.make(), recent: [] }, dropped: 0, ended: undefined })

/** Takes a line in; fails where the application refuses. */
const hear = (watched: Watched, line: FeedLine.FeedLine): Effect.Effect<void, Refused> => {
  if ("refused" in line) return Effect.fail(new Refused(line.refused))
  if ("snapshot" in line) {
    watched.shown = { tree: LiveTree.restore(line.snapshot), recent: [...line.recent] }
    watched.dropped += line.dropped
  } else if ("event" in line) LiveView.take(watched.shown, line.event)
  return Effect.void
}

class Refused extends Error {
  readonly _tag = "Refused"
}

const draw = Effect.fnUntraced(function*(run: Runs.LivingRun) {
  const watched = nothing()
  const title = `snakepit ${run.run.slice(0, 8)} pid ${run.pid}`
  const quit = yield* Watch.screen(() => ({ ...watched, title }))
  const following = FeedClient.lines(run.feed).pipe(
    Stream.runForEach((line) => hear(watched, line)),
    Effect.andThen(Effect.sync(() => {
      watched.ended = "the application has ended"
    })),
    Effect.andThen(Effect.never) // what was last known stays to be looked at
  )
  yield* Effect.raceFirst(following, quit)
}, Effect.scoped)

const list = (run: Runs.LivingRun, json: boolean) =>
  FeedClient.lines(run.feed).pipe(
    Stream.runForEach((line) => {
      if ("refused" in line) return Effect.fail(new Refused(line.refused))
      if (json) return "event" in line ? Console.log(JSON.stringify(line.event)) : Effect.void
      if ("snapshot" in line && line.dropped > 0) return Console.log(`… ${line.dropped} events were dropped: this terminal is too slow`)
      return "event" in line && News.isNews(line.event) ? Console.log(Watch.plain(line.event)) : Effect.void
    })
  )

/** Until the user quits, or the application ends. */
const look = Effect.fnUntraced(function*({ dataFolder, json, plain, run }: Options) {
  const meant = yield* Runs.find(dataFolder, run)
  yield* json || plain || !Watch.isTerminal() ? list(meant, json) : draw(meant)
})

const where = {
  dataFolder: Flag.Directory("data-folder").pipe(
    Flag.withMetavar("DIR"),
    Flag.optional,
    Flag.withDescription(
      "The application's data folder; as the application finds it when left out: $SNAKEPIT_DATA_DIR, or the user's state folder"
    )
  ),
  run: Flag.String("run").pipe(
    Flag.withMetavar("ID"),
    Flag.optional,
    Flag.withDescription("Which application, by the beginning of its run's id; only needed when several run")
  )
}

/** The command. */
export const watch = Command.make(
  "watch",
  {
    ...where,
    plain: Flag.Boolean("plain").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Lines instead of a screen, as where there is no terminal")
    ),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("Each event as one line of JSON"))
  },
  ({ dataFolder, run, ...how }) => orTell(look({ dataFolder: Option.getOrUndefined(dataFolder), run: Option.getOrUndefined(run), ...how }))
).pipe(
  Command.withDescription(
    "Draw an application that runs on this system: its tree, pools and workers beside its last events. Needs telemetry.feed, which is on by default. " +
      "Keys: q quits, up and down scroll, f chooses events, p pauses. Exits with 1 when there is none to look at."
  )
)
