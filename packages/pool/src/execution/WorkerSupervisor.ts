/**
 * Supervises one worker: everything that belongs to one slot, its monitors beside it.
 *
 * ```text
 * <slot>       rest_for_one
 * ├─ process   the external process            ends ⇒ all below go with it
 * ├─ channel   the stream to it                ends ⇒ the process lives on; the next stream goes on with its calls
 * ├─ heartbeat asks whether it answers         tells the watchdog
 * ├─ watchdog  judges it                       fails `process` when it is stopped, hung, unreachable, or runs a call beyond its limit
 * ├─ telemetry_tap  what it tells of itself    ends ⇒ it waits at the worker, within its bound
 * └─ …         the application's own           `perWorker`; ends ⇒ those after it, no other part of the worker
 * ```
 *
 * Escalates to the fleet when it needs more restarts than `restart.worker` allows, or at once when its adapter cannot be served and no
 * other worker is up. Stopped by: the fleet. Never by a watchdog or the channel: they ask it with `failChild`. A heartbeat, a watchdog or a tap that ends is restarted and
 * harms nothing.
 */
import { type Child, RestartPolicy, Supervisor } from "@snakepit/core"
import * as LiveRestart from "../LiveRestart.ts"
import type * as PerWorker from "../PerWorker.ts"
import type { PoolConfig } from "../PoolConfig.ts"
import type { PoolEntry } from "../PoolDirectory.ts"
import * as PoolEvent from "../PoolEvent.ts"
import * as RestartDelay from "../RestartDelay.ts"
import type { WorkerRuntime, WorkerSeat } from "../WorkerRuntime.ts"
import * as Heartbeat from "./Heartbeat.ts"
import * as TelemetryTap from "./TelemetryTap.ts"
import * as Watchdog from "./Watchdog.ts"

const flagsOf = ({ restart }: PoolConfig, patience: RestartDelay.Patience) =>
  ({
    plane: "execution",
    strategy: "rest_for_one",
    restart: RestartPolicy.make({ intensity: restart.worker, delay: RestartDelay.worker(patience) }),
    because:
      "a channel is meaningless without its process, a heartbeat without its channel; a boot that cannot succeed is not tried again at once",
    limitBecause: "three crashes in half a minute may be the fault of its calls; with the fourth the slot as a whole is started anew",
    events: PoolEvent.worker_supervisor
  }) as const

const ownOf = (seat: WorkerSeat, runtime: WorkerRuntime, entry: PoolEntry) =>
  [
    runtime.process(seat),
    runtime.channel(seat),
    Heartbeat.child(seat, entry.roster, runtime.usage),
    Watchdog.child(seat, entry.roster, () => runtime.evidence(seat)),
    TelemetryTap.child(seat, entry, runtime.telemetry)
  ] as const

/** The children that a worker has in every pool. */
export type OwnChild = ReturnType<typeof ownOf>[number]

/** The supervisor of a worker that has the children `C` beside its own. */
export type WorkerSupervisor<C extends Child.Any> = Supervisor.Made<string, OwnChild | C, ReturnType<typeof flagsOf>>

export const make = <C extends Child.Any>(
  slot: string,
  seat: WorkerSeat,
  entry: PoolEntry,
  runtime: WorkerRuntime,
  perWorker: PerWorker.Make<C>
): WorkerSupervisor<C> => {
  const { name, pool } = seat
  const { roster } = entry
  const worker: PerWorker.Worker = {
    pool,
    slot: seat.slot,
    name,
    generation: () => roster.current?.generations.get(seat.slot) ?? -1,
    pid: () => roster.current?.pids.get(seat.slot)
  }
  const more = perWorker(worker) as ReadonlyArray<Child.Child<string, never, never, never, "execution", false>> // `PerWorker.Check` has seen them
  const made: Supervisor.Any = Supervisor.make(slot, {
    ...flagsOf(seat.config, () => RestartDelay.besideOthers(entry, seat.slot, "worker")),
    failedBy: { process: ["channel", "watchdog"] },
    labels: { pool, slot: seat.slot },
    children: [...ownOf(seat, runtime, entry), ...more]
  })
  return LiveRestart.following(made, entry, ({ restart }) => restart.worker) as WorkerSupervisor<C>
}
