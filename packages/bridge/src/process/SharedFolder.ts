/**
 * The folder of one run in shared memory, for payloads on their way between host and workers: `/dev/shm/snakepit-<run id>`, for this user
 * alone (0700), removed at the end, and by the next start when the host was killed. In it one folder a process, which goes with the process.
 */
import * as Effect from "effect/Effect"
import { lstatSync, mkdirSync, rmSync } from "node:fs"
import { join } from "node:path"

/** Where Linux has its files in memory. */
export const base = "/dev/shm"

export const pathOf = (runId: string, under: string = base): string => join(under, `snakepit-${runId}`)

/** Makes the folder of a run in the current scope, or says why there is none: payloads then travel in their frames. */
export const make = (runId: string, under: string = base) =>
  Effect.acquireRelease(
    Effect.sync((): { readonly folder: string } | { readonly why: string } => {
      const folder = pathOf(runId, under)
      try {
        mkdirSync(folder, { mode: 0o700 })
        return { folder }
      } catch (cause) {
        return { why: cause instanceof Error ? cause.message : String(cause) }
      }
    }),
    (made) => Effect.sync(() => "folder" in made ? rmSync(made.folder, { recursive: true, force: true }) : undefined)
  )

/** The folder of one process in that of its run, made in the current scope; `undefined` when it cannot be. */
export const ofProcess = (run: string, name: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = join(run, name)
      try {
        mkdirSync(folder, { mode: 0o700 })
        return folder
      } catch { // full, or somebody has removed the run's
        return undefined
      }
    }),
    (folder) => Effect.sync(() => folder === undefined ? undefined : rmSync(folder, { recursive: true, force: true }))
  )

/** Removes the folder of a run that is dead, when it is this user's. */
export const removeOf = (runId: string, under: string = base): void => {
  if (!/^[0-9a-f-]{36}$/.test(runId)) return // a path could be made of anything else
  const folder = pathOf(runId, under)
  const stats = lstatSync(folder, { throwIfNoEntry: false })
  if (stats?.isDirectory() === true && stats.uid === process.getuid?.()) rmSync(folder, { recursive: true, force: true })
}
