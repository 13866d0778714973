/**
 * The external process of one slot: a spare if one waits, else launched; from then on until nothing of it is left.
 *
 * ```text
 *  start    take a spare (no wait) ─┐
 *           launch: see Launch.ts ──┴─▶ hand the address, or the open session, to the channel
 *  life     until the process exits
 *  stop     drain: SIGTERM to its group; the running call finishes, queued ones are declined
 *             └─ within stopGrace ──▶ it exits 0; what it had started is killed by the Reaper ──┐
 *             └─ later ──▶ SIGKILL to its group, its session, its marked and its descendants ───┴─▶ gone, verified in /proc
 *                                                                  └─ not within 5 s ──▶ told as leaked, left to the Reaper
 *  it ended by itself: the restart does not wait; the Reaper kills what it had started, and the registry keeps its entry until then
 * ```
 */
import { Child, Event, RegisteredName } from "@snakepit/core"
import { WorkerError } from "@snakepit/pool"
import type { WorkerRuntime } from "@snakepit/pool"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as BridgeEvent from "../BridgeEvent.ts"
import type { Session } from "../channel/Session.ts"
import * as Launch from "./Launch.ts"
import * as ReapedProcess from "./ReapedProcess.ts"
import * as Spares from "./Spares.ts"

/** A process that is ready, as its channel finds it. */
export interface PythonProcess extends Launch.LaunchedProcess {
  /** The stream that was opened before it had a slot. Once: the next channel dials. */
  readonly takeSession: () => Session | undefined
}

/** What {@link child} takes. */
export interface Options {
  readonly seat: WorkerRuntime.WorkerSeat
  readonly launcher: () => Launch.Launcher
  readonly spares: Spares.Spares
  /** Where the channel finds the process. */
  readonly name: RegisteredName.RegisteredName<PythonProcess>
}

/** The process of one slot as a supervised child. */
export const child = ({ launcher, name, seat, spares }: Options): WorkerRuntime.PortChild<
  "process",
  WorkerError.BootFailed,
  WorkerError.ProcessExited | WorkerRuntime.Imposed,
  "execution"
> =>
  Child.make("process", {
    plane: "execution",
    shutdown: Duration.sum(seat.config.stopGrace, Duration.sum(ReapedProcess.killWait, Duration.seconds(1))),
    start: Effect.gen(function*() {
      const began = yield* Clock.currentTimeMillis
      const generation = seat.fill()
      const { pool, slot } = seat
      const told = ({ pid, ...end }: ReapedProcess.ProcessEnd) =>
        Event.emit(BridgeEvent.process_exit, {}, { pool, slot, generation, pid, ...ReapedProcess.facts(end) })
      const spare = yield* Effect.acquireRelease(
        Effect.sync(() => Spares.take(spares, seat.name, told)),
        (spare) => spare === undefined ? Effect.void : Scope.close(spare.scope, Exit.void)
      )
      const launched = spare?.launched ??
        (yield* seat.governed(Launch.launch(launcher(), { worker: seat.name, slot, told })))
      const { pid, reaped, start } = launched
      let session = spare?.session
      yield* RegisteredName.register(name, {
        ...launched,
        takeSession: () => {
          const open = session
          session = undefined
          return open !== undefined && !Deferred.isDoneUnsafe(open.broken) ? open : undefined
        }
      })
      const tookMillis = (yield* Clock.currentTimeMillis) - began
      const how = spare === undefined ? start : "spare"
      yield* Event.emit(BridgeEvent.process_start, { tookMillis }, { pool, slot, generation, pid, start: how })

      const life: Effect.Effect<
        never,
        WorkerError.ProcessExited | WorkerRuntime.Imposed // the latter by others, through failChild
      > = Effect.flatMap(Deferred.await(reaped.exited), (exit) => {
        const { code, signal } = exit
        const exitClass = ReapedProcess.classOf(reaped, exit)
        return Effect.fail(
          new WorkerError.ProcessExited({ worker: seat.name, pid, code, signal, exitClass, output: ReapedProcess.lastLines(reaped) })
        )
      })
      return life
    })
  })
