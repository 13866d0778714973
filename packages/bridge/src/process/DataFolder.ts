/**
 * The folder that outlives a run: where the journals of runs are, so that the next start finds what a killed host left behind. For this
 * user alone, on a local disk.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { accessSync, constants, lstatSync, mkdirSync, realpathSync, type Stats } from "node:fs"
import { homedir, tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"

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

/** A path and the folders above it, the root first. */
const chain = (path: string): ReadonlyArray<string> => {
  const above = dirname(path)
  return above === path ? [path] : [...chain(above), path]
}

/** What of a file is asked for. */
export type Owned = Pick<Stats, "mode" | "uid"> & { readonly isSymbolicLink: () => boolean }

/**
 * Why what is at the end of a path may be another user's doing, `undefined` when it cannot. `look` is asked for each part of the path, which may not
 * be there yet. From the first folder down that everybody may write to, each part belongs to this user or the system, and where others may
 * write too they cannot rename what is in it (sticky).
 */
export const exposure = (path: string, uid: number, look: (path: string) => Owned | undefined): string | undefined => {
  let open = false
  for (const part of chain(path)) {
    const stats = look(part)
    if (stats === undefined) return undefined
    if (open && stats.uid !== uid && stats.uid !== 0) return `${part} belongs to another user (uid ${stats.uid}, this is ${uid})`
    if (stats.isSymbolicLink()) continue // its mode means nothing; where it leads is a path of its own
    open ||= (stats.mode & 0o002) !== 0
    if (open && (stats.mode & 0o022) !== 0 && (stats.mode & 0o1000) === 0) return `others may rename what is in ${part}`
  }
  return undefined
}

const lookAt = (path: string): Owned | undefined => lstatSync(path, { throwIfNoEntry: false })

/** Why a folder is not this user's alone, `undefined` when it is. */
const foreign = (folder: string, uid: number): string | undefined => {
  const stats = lstatSync(folder)
  if (!stats.isDirectory()) return `${folder} is not a folder`
  if (stats.uid !== uid) return `${folder} belongs to another user (uid ${stats.uid}, this is ${uid})`
  return (stats.mode & 0o022) === 0 ? undefined : `others may write to ${folder}`
}

/** Makes the folders when they are not there. Says why they cannot be used, `undefined` when they can. */
const obstacle = (folder: string): string | undefined => {
  const runs = runsFolder(folder)
  const uid = process.getuid?.()
  try {
    const exposed = uid === undefined ? undefined : exposure(folder, uid, lookAt)
    if (exposed !== undefined) return exposed
    mkdirSync(runs, { recursive: true, mode: 0o700 })
    if (uid !== undefined) {
      const real = realpathSync(folder) // a link of this user's own may lead to a larger disk
      const trouble = exposure(real, uid, lookAt) ?? foreign(real, uid) ?? foreign(join(real, "runs"), uid)
      if (trouble !== undefined) return trouble
    }
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
