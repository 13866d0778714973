/**
 * How long a call that may have crashed its worker waits before it is tried again: an Effect `Schedule`, stepped and never slept.
 *
 * **Details**
 *
 * Each call steps the schedule for itself, from its first crash on. The steps are outside the dispatch machine, which asks (`AskDelay`) and is told
 * (`DelayKnown`) as supervisors do: so a schedule may draw lots or look at a clock, and what the machine does replays all the same.
 *
 * There is no jitter by default. It keeps those apart that come back at the same moment to something they share, and these come back to a queue that
 * hands them out one by one.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { CallError } from "./CallError.ts"

/** When a call is tried again: over what its attempt ended with. */
export type RetryDelay = Schedule.Schedule<unknown, CallError>

/** One call's way through its schedule. */
export type Stepper = (now: number, error: CallError) => Effect.Effect<number | undefined>

/** These, one after the other; the last one for all further. */
export const of = (delays: ReadonlyArray<Duration.Duration>): RetryDelay =>
  Schedule.modifyDelay(Schedule.forever, ({ attempt }) => Effect.succeed(delays[Math.min(attempt, delays.length) - 1]!))

/** Gives the milliseconds to wait, or `undefined` when the schedule ends. A defect of it is logged, and ends it. */
export const stepper = (delay: RetryDelay): Stepper => {
  let step: Effect.Success<ReturnType<typeof Schedule.toStep<unknown, CallError, never, never>>> | undefined
  return (now, error) =>
    Effect.gen(function*() {
      step ??= yield* Schedule.toStep(delay)
      const [, duration] = yield* step(now, error)
      return Duration.toMillis(duration)
    }).pipe(
      Effect.catch(() => Effect.undefined), // it ends
      Effect.catchDefect((defect) => Effect.as(Effect.logError(`the retry schedule of "${error.tool}" threw`, defect), undefined))
    )
}
