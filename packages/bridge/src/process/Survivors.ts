/**
 * Which processes of a run are still there, read from `/proc` by the environment they were started with: what a leak check looks at, and
 * what the host ends itself when a Reaper died and could not.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { readdirSync, readFileSync } from "node:fs"

/** A process that is still there. */
export interface Survivor {
  readonly pid: number
  readonly command: string
}

/** The mark that all processes of a run carry in their environment. */
export const runMark = "SNAKEPIT_RUN"

/** The mark that a worker and whatever it starts carry: `default/3#0`. */
export const workerMark = "SNAKEPIT_WORKER"

/** The living processes of a run, zombies left out. Empty where there is no `/proc`. */
export const of = (runId: string): Effect.Effect<ReadonlyArray<Survivor>> =>
  Effect.sync(() => find((environment) => environment.includes(`${runMark}=${runId}`)))

/**
 * Kills what is left of the workers of one pool, until nothing is: a process that outlived its Reaper in a session of its own. Does nothing
 * but look when the Reaper has done its work.
 */
export const sweep = (runId: string, pool: string): Effect.Effect<void> => {
  const belongs = (environment: ReadonlyArray<string>) =>
    environment.includes(`${runMark}=${runId}`) && environment.some((entry) => entry.startsWith(`${workerMark}=${pool}/`))
  const look = Effect.sync(() => {
    const left = find(belongs)
    for (const { pid } of left) kill(pid)
    return left.length
  })
  return look.pipe(
    Effect.repeat({ while: (left) => left > 0, schedule: Schedule.spaced("5 millis") }),
    Effect.timeoutOption("2 seconds"), // longer only for one stuck in the kernel, which nobody can end
    Effect.asVoid
  )
}

const find = (fits: (environment: ReadonlyArray<string>) => boolean): ReadonlyArray<Survivor> =>
  pids()
    .filter((pid) => fits(read(pid, "environ").split("\0"))) // a zombie's environment is empty
    .map((pid) => ({ pid, command: read(pid, "cmdline").replaceAll("\0", " ").trim() }))

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

const kill = (pid: number): void => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // it has gone by itself
  }
}
