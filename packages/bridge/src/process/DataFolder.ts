/**
 * The folder that outlives a run: where the journals of runs are, so that the next start finds what a killed host left behind. For this
 * user alone, on a local disk.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { accessSync, constants, lstatSync, mkdirSync } from "node:fs"
import { homedir, tmpdir } from "node:os"
import { join, resolve } from "node:path"

/** The data folder that was asked for cannot be used. */
export class DataFolderFailed extends Schema.TaggedError<DataFolderFailed>()("DataFolderFailed", {
  folder: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `the data folder ${this.folder} cannot be used: ${this.detail}. The registry of processes is kept there, for the next start to ` +
      "find what a killed host left. Set dataFolder (or SNAKEPIT_DATA_DIR) to a folder of your own that you may write to, or leave it out"
  }
}

/** What {@link candidates} takes. */
export interface Surroundings {
  readonly env: Record<string, string | undefined>
  readonly home: string
  readonly temporary: string
  readonly uid: number
}

/** Where the data folder may be, best first. One that was asked for is the only one: it is not quietly replaced. */
export const candidates = (asked: string | undefined, { env, home, temporary, uid }: Surroundings): ReadonlyArray<string> => {
  const wanted = asked ?? (env["SNAKEPIT_DATA_DIR"] || undefined)
  if (wanted !== undefined) return [wanted]
  const state = env["XDG_STATE_HOME"] || join(home, ".local", "state")
  return [join(state, "snakepit"), join(temporary, `snakepit-data-${uid}`)]
}

const surroundings = (): Surroundings => ({
  env: process.env,
  home: homedir(),
  temporary: tmpdir(),
  uid: process.getuid?.() ?? 0
})

/** The folder of the journals in a data folder. */
export const runsFolder = (dataFolder: string): string => join(dataFolder, "runs")

/** Makes the folders when they are not there. Says why they cannot be used, `undefined` when they can. */
const obstacle = (folder: string): string | undefined => {
  const runs = runsFolder(folder)
  try {
    mkdirSync(runs, { recursive: true, mode: 0o700 })
    const stats = lstatSync(runs)
    const uid = process.getuid?.()
    if (!stats.isDirectory()) return `${runs} is not a folder`
    if (uid !== undefined && stats.uid !== uid) return `${runs} belongs to another user (uid ${stats.uid}, this is ${uid})`
    if ((stats.mode & 0o022) !== 0) return `others may write to ${runs}`
    accessSync(runs, constants.R_OK | constants.W_OK | constants.X_OK)
    return undefined
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause)
  }
}

/** A data folder, or why there is none. */
export type DataFolder = { readonly folder: string } | { readonly why: string }

/** The data folder, made if needed. Fails when one was asked for and cannot be used; without one that was asked for, goes on without. */
export const make = (asked: string | undefined): Effect.Effect<DataFolder, DataFolderFailed> =>
  Effect.suspend((): Effect.Effect<DataFolder, DataFolderFailed> => {
    const folders = candidates(asked, surroundings()).map((folder) => resolve(folder))
    const obstacles: Array<string> = []
    for (const folder of folders) {
      const detail = obstacle(folder)
      if (detail === undefined) return Effect.succeed({ folder })
      if (folders.length === 1) return Effect.fail(new DataFolderFailed({ folder, detail }))
      obstacles.push(`${folder}: ${detail}`)
    }
    return Effect.succeed({ why: obstacles.join("; ") })
  })
