/**
 * Ends a worker whose tool goes on although its call was cancelled and the grace is over. Python cannot stop a running function from
 * outside; replacing its process can.
 */
import { Child, Event, RegisteredName, Supervisor } from "@snakepit/core"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Roster } from "../control/Roster.ts"
import * as PoolEvent from "../PoolEvent.ts"
import { CallOverran } from "../WorkerError.ts"
import type { WorkerSeat } from "../WorkerRuntime.ts"

/** The watchdog of one worker: the Dispatcher reports overruns to it. */
export const child = (seat: WorkerSeat, roster: RegisteredName.RegisteredName<Roster>) =>
  Child.make("watchdog", {
    plane: "execution",
    start: Effect.gen(function*() {
      const supervisor = yield* Supervisor.CurrentSupervisor
      const { overruns } = yield* Effect.orDie(RegisteredName.whereis(roster))
      let bark: (tool: string) => void = () => {}
      const report = (tool: string) => bark(tool)
      yield* Effect.acquireRelease(
        Effect.sync(() => overruns.set(seat.slot, report)),
        () => Effect.sync(() => overruns.get(seat.slot) === report && overruns.delete(seat.slot))
      )
      const overrun = Effect.callback<string>((resume) => {
        bark = (tool) => resume(Effect.succeed(tool))
      })
      return Effect.gen(function*() {
        const tool = yield* overrun
        yield* Event.emit(PoolEvent.watchdog_bite, {}, { pool: seat.pool, slot: seat.slot, tool })
        seat.sink.broken() // no further call for it while it is being stopped
        yield* Effect.orDie(supervisor.failChild(
          "process",
          new CallOverran({ worker: seat.name, tool, graceMillis: Duration.toMillis(seat.config.cancelGrace) })
        ))
        return yield* Effect.never
      })
    })
  })
