/**
 * Keeps warm processes ready: what a worker that died is replaced by without waiting.
 *
 * ```text
 *  a lane for each spare:  launch ─▶ wait until it is taken or dies ─▶ taken: after 50 ms, launch …
 *                             └─ does not come up: wait, 50 ms doubling to 5 s, and again
 * ```
 *
 * **Details**
 *
 * A child of its own beside the launcher, because a spare needs nothing there once it is ready: when the forkserver dies, with which a burst of
 * crashes often begins, those that wait are what fills the slots. It starts after the launcher, so the first workers are launched before any spare.
 */
import { Child, Event, ExitReason, MonotonicClock, RegisteredName, RestartPolicy } from "@snakepit/core"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { PoolEntry } from "../PoolDirectory.ts"
import * as PoolEvent from "../PoolEvent.ts"
import type { WorkerRuntime } from "../WorkerRuntime.ts"
import * as Roster from "./Roster.ts"

export const child = (spare: WorkerRuntime["spare"], entry: PoolEntry) =>
  Child.make("spares", {
    plane: "control",
    shutdown: Duration.sum(entry.config().stopGrace, Duration.seconds(6)), // as a worker's process: the grace, SIGKILL, 5 s, and 1 s more
    start: Effect.gen(function*() {
      const { pool, versions } = entry
      const roster = yield* Effect.orDie(RegisteredName.whereis(entry.roster))
      const lanes: Array<{ readonly roll: number; readonly fiber: Fiber.Fiber<never> }> = []
      const lane = keepSpare(pool, Roster.governed(roster, Effect.suspend(() => spare(pool, versions.proven))))
      /** As many as there are to be, of the version that new workers are of: others would be of no use. */
      const adjust = Effect.gen(function*() {
        const { roll } = versions.proven
        const { spares } = entry.config().launch
        const superfluous = lanes.filter((lane, index) => lane.roll !== roll || index >= spares)
        lanes.splice(0, lanes.length, ...lanes.filter((lane) => !superfluous.includes(lane)))
        yield* Effect.forEach(superfluous, ({ fiber }) => Effect.forkScoped(Fiber.interrupt(fiber)), { discard: true })
        while (lanes.length < spares) lanes.push({ roll, fiber: yield* Effect.forkScoped(lane, { startImmediately: true }) })
      })
      return entry.follow(adjust)
    })
  })

/** 50 ms doubling to 5 s, from the first again after a minute: a spare that does not come up is no worker's loss, and must not cost a core. */
const spareRestart = RestartPolicy.make({ intensity: "unlimited" })

/** After one was taken: its first call, which somebody waits for, gets the processor before its successor does (measured: 3 ms of 16). */
const settling = Duration.millis(50)

/** Keeps one warm process ready. Never fails: whatever happens to spares, workers are launched without them. */
const keepSpare = (pool: string, launch: ReturnType<WorkerRuntime["spare"]>): Effect.Effect<never> =>
  Effect.suspend(() => {
    const delay = RestartPolicy.delayStep(spareRestart)
    const one = Effect.gen(function*() {
      const { gone, pid } = yield* launch
      yield* Event.emit(PoolEvent.spare_ready, {}, { pool, pid })
      const how = yield* gone
      yield* Event.emit(PoolEvent.spare_leave, {}, { pool, pid, how })
      return how
    })
    return Effect.flatMap(Clock.Clock, (clock) => {
      const time = new MonotonicClock.MonotonicClock(clock)
      return Effect.forever(Effect.gen(function*() {
        const exit = yield* Effect.exit(Effect.scoped(one))
        if (Exit.isSuccess(exit) && exit.value === "taken") return yield* Effect.sleep(settling)
        const reason: ExitReason.ExitReason = ExitReason.fromExit(exit)
        const delayMillis = yield* Effect.orDie(delay(time.now(), { id: "spare", reason }))
        if (Exit.isFailure(exit)) {
          const cause = ExitReason.describe(reason)
          yield* Event.emit(PoolEvent.spare_fail, { delayMillis }, { pool, cause })
        }
        yield* Effect.sleep(delayMillis)
      }))
    })
  })
