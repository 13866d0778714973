/**
 * Judges one worker: what its heartbeat tells, what the kernel says of its process, and how long its call runs. Python cannot stop a
 * running function from outside, and a frozen process not itself; replacing the process can. So the watchdog fails it, through its
 * supervisor, which counts that and starts another.
 */
import { Child, Event, RegisteredName, Supervisor } from "@snakepit/core"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as CorrelationId from "../control/CorrelationId.ts"
import * as Dispatch from "../control/Dispatch.ts"
import type { Roster } from "../control/Roster.ts"
import type { PoolConfig } from "../PoolConfig.ts"
import * as PoolEvent from "../PoolEvent.ts"
import * as WorkerError from "../WorkerError.ts"
import type { Evidence, WorkerSeat } from "../WorkerRuntime.ts"
import * as Verdict from "./Verdict.ts"

/** What the others tell the watchdog of a slot. All is synchronous and never throws. */
export interface Watch {
  /** It has failed the worker, which is being stopped: there is no use in asking it any more. */
  readonly condemned: boolean
  /** By the heartbeat, of each beat. */
  readonly heard: (beat: "answered" | "waiting" | "missed", hostLate: boolean) => void
  /** By the Dispatcher: a call runs beyond its limit. Said again until the worker is gone. */
  readonly overran: (call: Verdict.RunningCall) => void
}

/** What the machine goes by, from the settings of the pool. */
export const limits = (
  { callTimeout, cancelGrace, heartbeat }: Pick<PoolConfig, "callTimeout" | "cancelGrace" | "heartbeat">
): Verdict.Limits => ({
  maxMissed: heartbeat.maxMissed,
  idleLimitMillis: Duration.toMillis(callTimeout) + Duration.toMillis(cancelGrace)
})

/** The watchdog of one worker; `evidence` asks the kernel about its process. */
export const child = (
  seat: WorkerSeat,
  name: RegisteredName.RegisteredName<Roster>,
  evidence: () => Evidence | undefined
) =>
  Child.make("watchdog", {
    plane: "execution",
    start: Effect.gen(function*() {
      const supervisor = yield* Supervisor.CurrentSupervisor
      const roster = yield* Effect.orDie(RegisteredName.whereis(name))
      const { clock, state: dispatch, watchdogs } = roster
      const sink = yield* Event.EventSink
      const bitten = yield* Deferred.make<WorkerError.Judged>()
      const about = { pool: seat.pool, slot: seat.slot, generation: seat.generation() }
      let verdict = Verdict.initial
      let call: number | undefined

      const judge = (seen: Verdict.Observation) => {
        const { orders, state } = Verdict.transition(verdict, seen, limits(seat.config))
        const missed = Math.max(state.missed, verdict.missed) // those that an answer has just ended, too
        verdict = state
        for (const order of orders) {
          if (order._tag === "Fail") {
            call = "call" in order.reason ? order.reason.call.id : undefined
            Deferred.doneUnsafe(bitten, Effect.succeed(judged(seat, order.reason, state, seen)))
            continue
          }
          Event.tell(
            sink,
            Event.make(PoolEvent.watchdog_verdict, clock.wallTime, { missed, cpuMillis: seen.evidence?.cpuMillis }, {
              ...about,
              verdict: order.verdict,
              was: order.was,
              pid: seen.evidence?.pid,
              state: seen.evidence?.state,
              tool: seen.call?.tool
            })
          )
        }
      }
      const watch: Watch = {
        get condemned() {
          return Deferred.isDoneUnsafe(bitten)
        },
        heard: (beat, hostLate) => {
          const said = beat === "answered" || hostLate
          judge({
            now: clock.now(),
            beat,
            evidence: said ? undefined : evidence(),
            call: said ? undefined : Dispatch.runningOn(dispatch, seat.slot),
            hostLate
          })
        },
        overran: (call) => judge({ now: clock.now(), beat: "none", evidence: evidence(), call, hostLate: false })
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => watchdogs.set(seat.slot, watch)),
        () => Effect.sync(() => watchdogs.get(seat.slot) === watch && watchdogs.delete(seat.slot))
      )
      return Effect.gen(function*() {
        const reason = yield* Deferred.await(bitten)
        const tool = "tool" in reason ? reason.tool : undefined
        yield* Event.emit(PoolEvent.watchdog_bite, {}, {
          ...about,
          tool,
          correlationId: call === undefined ? undefined : CorrelationId.of(roster, call),
          reason: reason._tag,
          cause: reason.message,
          incident: seat.incident()
        })
        seat.sink.broken() // no further call for it while it is being stopped
        seat.condemn(reason)
        yield* Effect.orDie(supervisor.failChild("process", reason))
        return yield* Effect.never
      })
    })
  })

const judged = (seat: WorkerSeat, reason: Verdict.Reason, state: Verdict.VerdictState, seen: Verdict.Observation): WorkerError.Judged => {
  const { evidence, now } = seen
  const silence = {
    worker: seat.name,
    missed: state.missed,
    silentMillis: state.silentSince === undefined ? 0 : now - state.silentSince + Duration.toMillis(seat.config.heartbeat.timeout),
    evidence
  }
  switch (reason._tag) {
    case "Stopped":
      return new WorkerError.WorkerStopped(silence)
    case "Hung":
      return new WorkerError.WorkerHung({ ...silence, tool: reason.call.tool, ranMillis: now - reason.call.since })
    case "Unreachable":
      return new WorkerError.WorkerUnreachable(silence)
    case "Overran": {
      const { cancelled, hardLimitMillis, since, tool } = reason.call
      return new WorkerError.CallOverran({ worker: seat.name, tool, ranMillis: now - since, limitMillis: hardLimitMillis, cancelled })
    }
  }
}
