/**
 * How long a pool waits before it starts again what has ended, and what it does not start again.
 *
 * ```text
 *  restart    1st   2nd    3rd     4th     …         after a quiet time (the policy's resetAfter)
 *  worker     0     50 ms  100 ms  200 ms  … 5 s     from the first again
 *  subtree    50 ms 100 ms 200 ms  400 ms  … 5 s     from the first again
 *
 *  a boot that fails at `import` or `catalogue`, a handshake that is refused: no restart at any level, so that it reaches `pools` at once
 * ```
 *
 * **Details**
 *
 * A process that ended may be replaced at once: the first restart hides the crash, and only a loop of them has to be slowed down. An
 * adapter that does not import will not import the next time either, and a worker of another version does not become ours; starting it again
 * costs processor time and hides the reason.
 */
import { RestartPolicy, SupervisorError } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as WorkerError from "./WorkerError.ts"

/** What no further attempt cures, at the root of what gave up or did not start. */
const incurable = (error: unknown): WorkerError.IncurableFailure | undefined => {
  if (error instanceof SupervisorError.GaveUp) return incurable(error.because.error)
  if (error instanceof SupervisorError.StartFailed) return incurable(error.at.error)
  return WorkerError.isIncurable(error) ? error : undefined
}

const curable = (
  delay: Schedule.Schedule<unknown, RestartPolicy.ChildExit>
): Schedule.Schedule<unknown, RestartPolicy.ChildExit, WorkerError.DeterministicBootFailure> =>
  Schedule.tap(delay, ({ input: { reason } }) => {
    const failed = reason._tag === "Failed" ? incurable(reason.error) : undefined
    return failed === undefined
      ? Effect.void
      : Effect.fail(SupervisorError.withoutStack(WorkerError.DeterministicBootFailure.of(failed)))
  })

/** Of the children of one worker: the first restart at once, then 50 ms doubling to 5 s. */
export const worker = curable(Schedule.concat(Schedule.recurs(1), RestartPolicy.defaultDelay))

/** Of whole subtrees, a worker's or the pool's parts: a restart inside has not helped, so the first waits too. */
export const subtree = curable(RestartPolicy.defaultDelay)
