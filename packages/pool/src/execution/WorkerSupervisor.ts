/**
 * Supervises one worker: everything that belongs to one slot, its monitors beside it.
 *
 * ```text
 * <slot>       rest_for_one
 * ├─ process   the external process            ends ⇒ all below go with it
 * ├─ channel   the stream to it                ends ⇒ the process lives on; a new stream is opened
 * ├─ heartbeat asks whether it answers         fails `process` when it does not
 * └─ watchdog  minds cancelled calls           fails `process` when one does not stop
 * ```
 *
 * Escalates to the fleet when it needs more restarts than `restart.worker` allows. Stopped by: the fleet. Never by a heartbeat, a watchdog
 * or the channel: they ask it with `failChild`.
 */
import { type RegisteredName, RestartPolicy, Supervisor } from "@snakepit/core"
import type { Roster } from "../control/Roster.ts"
import * as PoolEvent from "../PoolEvent.ts"
import type { WorkerRuntime, WorkerSeat } from "../WorkerRuntime.ts"
import * as Heartbeat from "./Heartbeat.ts"
import * as Watchdog from "./Watchdog.ts"

export const make = (slot: string, seat: WorkerSeat, runtime: WorkerRuntime, roster: RegisteredName.RegisteredName<Roster>) =>
  Supervisor.make(slot, {
    plane: "execution",
    strategy: "rest_for_one",
    restart: RestartPolicy.make({ intensity: seat.config.restart.worker }),
    because: "a channel is meaningless without its process, a heartbeat without its channel",
    limitBecause: "three crashes in half a minute may be the fault of its calls; with the fourth the slot as a whole is started anew",
    failedBy: { process: ["channel", "heartbeat", "watchdog"] },
    events: PoolEvent.worker_supervisor,
    labels: { pool: seat.pool, slot: seat.slot },
    children: [
      runtime.process(seat),
      runtime.channel(seat),
      Heartbeat.child(seat, roster),
      Watchdog.child(seat, roster)
    ]
  })
