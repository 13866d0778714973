/** Whether the history can be read, and what it holds. Looks only. */
import { HistoryPlace } from "@snakepit/telemetry"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { existsSync, readdirSync, statSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import * as RecordedRun from "../RecordedRun.ts"
import type { SnakepitConfig } from "../SnakepitConfig.ts"
import * as Finding from "./Finding.ts"

const area = "history"

const mebi = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`

/** Files of a history that were set aside as damaged. */
const setAside = (file: string): ReadonlyArray<string> =>
  existsSync(dirname(file))
    ? readdirSync(dirname(file)).filter((name) => name.startsWith(`${basename(file)}.`) && name.endsWith(".corrupt")).map((name) =>
      join(dirname(file), name)
    )
    : []

const ofPlace = (place: HistoryPlace.Some): Effect.Effect<ReadonlyArray<Finding.Finding>> => {
  const name = HistoryPlace.describe(place)
  if (place._tag === "File" && !existsSync(place.file)) {
    return Effect.succeed([Finding.ok(area, `none yet: the first start begins it in ${name}`)])
  }
  const reader = HistoryPlace.reader(place)
  return Effect.gen(function*() {
    const runs = yield* reader.runs
    const last = yield* Stream.runHead(reader.events({ limit: 1 }))
    const size = place._tag === "File" ? `, ${mebi(statSync(place.file).size)}` : ""
    const newest = last._tag === "Some" ? `, the last event of ${new Date(last.value.event.at).toISOString()}` : ""
    return [Finding.ok(area, `${name}: ${runs.length} ${runs.length === 1 ? "run" : "runs"}${newest}${size}`)]
  }).pipe(Effect.catch((failed) =>
    Effect.succeed([
      Finding.warning(
        area,
        failed.message,
        "an application starts without it and records nothing until this is mended; or name another place in telemetry.history"
      )
    ])
  ))
}

export const check = (config: Pick<SnakepitConfig, "dataFolder" | "telemetry">): Effect.Effect<ReadonlyArray<Finding.Finding>> =>
  Effect.gen(function*() {
    const place = yield* RecordedRun.placeOf(config)
    if (place._tag === "Nowhere") {
      return config.telemetry.history.record
        ? [Finding.warning(area, `nothing is recorded: ${place.why}`, "name a file in telemetry.history.file")]
        : [Finding.ok(area, "turned off: telemetry.history.record is false")]
    }
    const aside = place._tag === "File" ? setAside(place.file) : []
    return [
      ...yield* ofPlace(place),
      ...aside.length === 0
        ? []
        : [
          Finding.warning(area, `set aside as damaged: ${aside.join(", ")}`, "remove them when you have looked at them; was the disk full?")
        ]
    ]
  })
