/**
 * Which processes of a run are still there, read from `/proc` by the environment they were started with: what a leak check looks at, and
 * what the host ends itself when a Reaper died and could not.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as ProcessTable from "./ProcessTable.ts"
import { runMark, workerMark } from "./ProcessTable.ts"

export { runMark, workerMark }

/** A process that is still there. */
export interface Survivor {
  readonly pid: number
  readonly command: string
}

/** The living processes of a run, zombies left out. Empty where there is no `/proc`. */
export const of = (runId: string): Effect.Effect<ReadonlyArray<Survivor>> =>
  Effect.sync(() =>
    find((environment) => environment.includes(`${runMark}=${runId}`)).map((pid) => ({ pid, command: ProcessTable.commandOf(pid) }))
  )

/**
 * Kills what is left of the workers of one pool, until nothing is: a process that outlived its Reaper in a session of its own. Does nothing
 * but look when the Reaper has done its work.
 */
export const sweep = (runId: string, pool: string): Effect.Effect<void> => {
  const belongs = (environment: ReadonlyArray<string>) =>
    environment.includes(`${runMark}=${runId}`) && environment.some((entry) => entry.startsWith(`${workerMark}=${pool}/`))
  const strike = Effect.sync(() => {
    const left = find(belongs)
    for (const pid of left) {
      const seen = ProcessTable.look(pid)
      if (seen !== undefined) ProcessTable.kill(seen)
    }
    return left.length
  })
  return strike.pipe(
    Effect.repeat({ while: (left) => left > 0, schedule: Schedule.spaced("5 millis") }),
    Effect.timeoutOption("2 seconds"), // longer only for one stuck in the kernel, which nobody can end
    Effect.asVoid
  )
}

/** A zombie's environment is empty, so it never fits. */
const find = (fits: (environment: ReadonlyArray<string>) => boolean): ReadonlyArray<number> =>
  ProcessTable.pids().filter((pid) => fits(ProcessTable.environment(pid)))
