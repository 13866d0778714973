/**
 * Which processes of a run are still there, read from `/proc` by the environment they were started with: what a leak check looks at.
 */
import * as Effect from "effect/Effect"
import { readdirSync, readFileSync } from "node:fs"

/** A process that is still there. */
export interface Survivor {
  readonly pid: number
  readonly command: string
}

/** The mark that all processes of a run carry in their environment. */
export const mark = "SNAKEPIT_RUN"

/** The living processes of a run, zombies left out. Empty where there is no `/proc`. */
export const of = (runId: string): Effect.Effect<ReadonlyArray<Survivor>> =>
  Effect.sync(() =>
    pids().filter((pid) => carries(pid, `${mark}=${runId}`)).map((pid) => ({
      pid,
      command: read(pid, "cmdline").replaceAll("\0", " ").trim()
    }))
  )

const pids = (): ReadonlyArray<number> => {
  try {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number)
  } catch {
    return []
  }
}

/** A process that has just gone, or is somebody else's, has nothing to read. */
const read = (pid: number, file: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8")
  } catch {
    return ""
  }
}

/** A zombie's environment is empty, so it does not carry the mark. */
const carries = (pid: number, entry: string): boolean => read(pid, "environ").split("\0").includes(entry)
