/**
 * Supervises one worker: everything that belongs to one slot, its monitors beside it.
 *
 * ```text
 * <slot>       rest_for_one
 * ├─ process   the external process            ends ⇒ all below go with it
 * ├─ channel   the stream to it                ends ⇒ the process lives on; a new stream is opened
 * ├─ heartbeat asks whether it answers         tells the watchdog
 * └─ watchdog  judges it                       fails `process` when it is stopped, hung, unreachable, or runs a call beyond its limit
 * ```
 *
 * Escalates to the fleet when it needs more restarts than `restart.worker` allows. Stopped by: the fleet. Never by a watchdog or the
 * channel: they ask it with `failChild`. A heartbeat or a watchdog that ends is restarted and harms nothing.
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
    events: PoolEvent.worker_supervisor,
    labels: { pool: seat.pool, slot: seat.slot },
    children: [
      runtime.process(seat),
      runtime.channel(seat),
      Heartbeat.child(seat, roster),
      Watchdog.child(seat, roster, () => runtime.evidence(seat))
    ]
  })
