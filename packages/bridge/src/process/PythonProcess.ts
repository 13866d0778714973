/**
 * The external process of one slot: a spare if one waits, else launched; from then on until nothing of it is left.
 *
 * ```text
 *  start    take a spare (no wait) ─┐
 *           launch: see Launch.ts ──┴─▶ hand its session to the channel: new, or open already
 *  life     until the process exits; its session with it: what is in flight then is lost
 *  stop     its channel has drained it: the running call has finished, or stopGrace is over. SIGTERM to its group
 *             └─ within what is left of stopGrace ──▶ it exits 0; what it had started is killed by the Reaper ─┐
 *             └─ later ──▶ SIGKILL to its group, its session, its marked and its descendants ──────────────────┴─▶ gone, verified in /proc
 *                  ▲                                               └─ not within 5 s ──▶ told as leaked, left to the Reaper
 *  verdict ────────┘ one that was judged gets neither drain nor grace
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
import * as Session from "../channel/Session.ts"
import * as Launch from "./Launch.ts"
import * as ReapedProcess from "./ReapedProcess.ts"
import * as Spares from "./Spares.ts"

/** A process that is ready, as its channel finds it. */
export interface PythonProcess extends Launch.LaunchedProcess {
  /** Its session: a new one when that before is over. */
  readonly session: () => Session.Session
  /** Ends the session, because the process has ended, or because of who stops it. */
  readonly end: () => void
}

/** A process with its session: one that is open already, or new. */
export const make = (
  seat: Pick<WorkerRuntime.WorkerSeat, "config" | "verdict">,
  launched: Launch.LaunchedProcess,
  begun?: Session.Session,
  open?: Session.Open
): PythonProcess => {
  const anew = () => new Session.Session({ process: launched, config: () => seat.config }, open)
  let session = begun ?? anew()
  return {
    ...launched,
    session: () => session.isOver ? session = anew() : session,
    end: () => {
      const { exit } = launched.reaped.known
      if (exit !== undefined) return session.end(Session.howItEnded(exit), true, ReapedProcess.classOf(launched.reaped, exit))
      const verdict = seat.verdict()
      session.end(verdict === undefined ? "its supervisor stopped it" : `it was replaced: ${verdict._tag}`, false)
    }
  }
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
      const current = yield* Child.CurrentChild
      const generation = seat.fill(current)
      const { pool, slot } = seat
      const owner: ReapedProcess.Owner = {
        told: ({ pid, ...end }) =>
          Event.emit(BridgeEvent.process_exit, {}, {
            ...{ pool, slot, generation, pid, incident: current.incident("end") },
            ...ReapedProcess.facts(end)
          }),
        verdict: seat.verdict
      }
      let process: PythonProcess | undefined
      yield* Effect.addFinalizer(() => Effect.sync(() => process?.end())) // what no channel has ended before
      const spare = yield* Effect.acquireRelease(
        Effect.sync(() => Spares.take(spares, seat.version().roll, seat.name, owner)),
        (spare) => spare === undefined ? Effect.void : Scope.close(spare.scope, Exit.void)
      )
      const launched = spare?.launched ??
        (yield* seat.governed(Launch.launch(launcher(), { worker: seat.name, slot, ...owner })))
      const { pid, reaped, start } = launched
      process = make(seat, launched, spare?.session)
      yield* RegisteredName.register(name, process)
      const tookMillis = (yield* Clock.currentTimeMillis) - began
      reaped.reaper.traffic.boots.record(tookMillis / 1000)
      const how = spare === undefined ? start : "spare"
      yield* Event.emit(BridgeEvent.process_start, { tookMillis }, {
        ...{ pool, slot, generation, pid, start: how },
        incident: current.incident("start")
      })

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
