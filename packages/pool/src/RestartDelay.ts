/**
 * How long a pool waits before it starts again what has ended, and what it does not start again.
 *
 * ```text
 *  restart    1st   2nd    3rd     4th     …         after a quiet time (the policy's resetAfter)
 *  worker     0     50 ms  100 ms  200 ms  … 5 s     from the first again
 *  subtree    50 ms 100 ms 200 ms  400 ms  … 5 s     from the first again
 *
 *  a boot that fails at `import` or `catalogue`, a handshake that is refused:
 *    another worker of the pool is up     the slot is tried again after the policy's window, which spends no budget
 *    none is                              no restart at any level, so that it reaches `pools` at once
 * ```
 *
 * **Details**
 *
 * A process that ended may be replaced at once: the first restart hides the crash, and only a loop of them has to be slowed down. An
 * adapter that does not import will not import the next time either, and a worker of another version does not become ours; starting it again
 * costs processor time and hides the reason. But workers that are up serve on with what they have imported, whatever has become of its file since.
 */
import { RestartPolicy, SupervisorError } from "@snakepit/core"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { PoolConfig } from "./PoolConfig.ts"
import type { PoolEntry } from "./PoolDirectory.ts"
import * as WorkerError from "./WorkerError.ts"

/** What no further attempt cures, at the root of what gave up or did not start. */
const incurable = (error: unknown): WorkerError.IncurableFailure | undefined => {
  if (error instanceof SupervisorError.GaveUp) return incurable(error.because.error)
  if (error instanceof SupervisorError.StartFailed) return incurable(error.at.error)
  return WorkerError.isIncurable(error) ? error : undefined
}

/** How long after what is incurable the child is tried again all the same; `undefined`: never. */
export type Patience = (child: string) => Duration.Duration | undefined

const none: Patience = () => undefined

/** Of a slot, as long as another worker of the pool is up: one restart in each window of these limits is within any of them. */
export const besideOthers = (entry: PoolEntry, slot: number, limits: keyof PoolConfig["restart"]): Duration.Duration | undefined =>
  [...entry.roster.current?.pids.keys() ?? []].some((other) => other !== slot) ? entry.config().restart[limits].within : undefined

const curable = (
  delay: Schedule.Schedule<unknown, RestartPolicy.ChildExit>,
  patience: Patience
): Schedule.Schedule<unknown, RestartPolicy.ChildExit, WorkerError.DeterministicBootFailure> =>
  Schedule.modifyDelay(delay, ({ duration, input: { id, reason } }) => {
    const failed = reason._tag === "Failed" ? incurable(reason.error) : undefined
    if (failed === undefined) return Effect.succeed(duration)
    const later = patience(id)
    return later === undefined
      ? Effect.fail(SupervisorError.withoutStack(WorkerError.DeterministicBootFailure.of(failed)))
      : Effect.succeed(later)
  })

/** Of the children of one worker: the first restart at once, then 50 ms doubling to 5 s. */
export const worker = (patience: Patience = none) => curable(Schedule.concat(Schedule.recurs(1), RestartPolicy.defaultDelay), patience)

/** Of whole subtrees, a worker's or the pool's parts: a restart inside has not helped, so the first waits too. */
export const subtree = (patience: Patience = none) => curable(RestartPolicy.defaultDelay, patience)
