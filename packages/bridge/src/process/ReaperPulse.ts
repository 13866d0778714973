/**
 * Whether a pool's Reaper still does its work: it is asked at an interval, and judged as a worker that misses its beats. One that works or is in a
 * debugger is waited for; one that was stopped is given up at the second look, one that is still after three beats.
 */
import type { MonotonicClock } from "@snakepit/core"
import type { WorkerRuntime } from "@snakepit/pool"
import * as Verdict from "@snakepit/pool/execution/Verdict"
import * as HostTimer from "@snakepit/pool/HostTimer"
import * as Effect from "effect/Effect"

/** Whose pulse it is. */
export interface Options {
  readonly clock: MonotonicClock.MonotonicClock
  /** Asks it; must not throw. */
  readonly ping: () => void
  /** How many answers have come by now. */
  readonly answers: () => number
  readonly evidence: () => WorkerRuntime.Evidence | undefined
}

/** 1 s: what it costs is not seen, and calls of workers that cannot be replaced wait no longer than for a worker that was stopped. */
const beatMillis = 1000

/** A quarter of the time between two looks: a timer that came later measures the host. */
const lateMillis = beatMillis / 2 / 4

const limits: Verdict.Limits = {
  maxMissed: 3, // its loop takes milliseconds; three in a row are no accident on a machine that swaps
  idleLimitMillis: 30_000 // a Reaper that looks through 100,000 processes takes a few seconds for it
}

/** Ends, with what is wrong, when the Reaper stands still. */
export const untilStill = ({ answers, clock, evidence, ping }: Options): Effect.Effect<string> =>
  Effect.gen(function*() {
    let state = Verdict.initial
    while (true) {
      const before = answers()
      ping()
      for (const beat of ["waiting", "missed"] as const) {
        const late = yield* HostTimer.wait(clock, beatMillis / 2)
        const answered = answers() !== before
        const kernel = answered ? undefined : evidence() // asked only of one that is silent
        const seen: Verdict.Observation = {
          now: clock.now(),
          beat: answered ? "answered" : beat,
          evidence: kernel,
          call: undefined,
          hostLate: late > lateMillis
        }
        const outcome = Verdict.transition(state, seen, limits)
        const began = state.silentSince ?? seen.now
        state = outcome.state
        if (!outcome.orders.some(({ _tag }) => _tag === "Fail")) continue
        const silent = `it has not answered for ${Math.round(seen.now - began + beatMillis)} ms`
        return state.verdict === "stopped"
          ? `it stands still: somebody sent SIGSTOP to process ${kernel?.pid}`
          : kernel === undefined
          ? `it stands still: ${silent}`
          : `it stands still: ${silent}, and its process ${kernel.pid} is ${kernel.state} (${kernel.cpuMillis} ms of CPU in all)`
      }
    }
  })
