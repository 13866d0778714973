/**
 * How long a runtime waits for a worker that does not shake hands. The worker answers when no call of a lost connection runs any more, so
 * it is judged as one that misses its beats: while it works it is waited for, and no restart is spent; one that is stopped is given up
 * at once, one that is still after the grace of a cancelled call.
 */
import type { MonotonicClock } from "@snakepit/core"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HostTimer from "../HostTimer.ts"
import type { PoolConfig } from "../PoolConfig.ts"
import { HandshakeTimeout } from "../WorkerError.ts"
import type { Evidence } from "../WorkerRuntime.ts"
import * as Heartbeat from "./Heartbeat.ts"
import * as Verdict from "./Verdict.ts"
import * as Watchdog from "./Watchdog.ts"

/** Whose patience it is. */
export interface Options {
  /** Its name in errors: `default/3`. */
  readonly worker: string
  readonly config: Pick<PoolConfig, "callTimeout" | "cancelGrace" | "heartbeat" | "startTimeout">
  readonly clock: MonotonicClock.MonotonicClock
  readonly evidence: () => Evidence | undefined
}

/** 2 s: a connection on a loaded machine. */
const leastMillis = 2000

/** Between two looks. 1 s at most: a stopped process is found in two. */
const stepMillis = ({ heartbeat }: Options["config"]): number => Math.min(1000, Duration.toMillis(heartbeat.interval))

/** How long a process may be still. */
const stillMillis = ({ cancelGrace, heartbeat }: Options["config"]): number =>
  Math.max(leastMillis, Duration.toMillis(cancelGrace), Duration.toMillis(heartbeat.interval) * heartbeat.maxMissed)

/** Ends, with the reason to fail the process for, when there is no use in waiting longer. */
export const outlast = ({ clock, config, evidence, worker }: Options): Effect.Effect<HandshakeTimeout> =>
  Effect.gen(function*() {
    const began = clock.now()
    const step = stepMillis(config)
    const limits = {
      maxMissed: Math.ceil(stillMillis(config) / step),
      idleLimitMillis: Math.max(Duration.toMillis(config.startTimeout), Watchdog.limits(config).idleLimitMillis)
    }
    let state = Verdict.initial
    while (true) {
      for (const beat of ["waiting", "missed"] as const) {
        const late = yield* HostTimer.wait(clock, step / 2)
        const now = clock.now()
        const kernel = evidence()
        const seen = { now, beat, evidence: kernel, call: undefined, hostLate: late > step * Heartbeat.lateShare }
        const outcome = Verdict.transition(state, seen, limits)
        state = outcome.state
        if (!outcome.orders.some(({ _tag }) => _tag === "Fail")) continue
        return new HandshakeTimeout({ worker, waitedMillis: now - began, verdict: state.verdict, evidence: kernel })
      }
    }
  })
