/**
 * Supervises one pool.
 *
 * ```text
 * <pool>       rest_for_one
 * ├─ roster    queue, calls in flight, slots   crash ⇒ everything below, each open call ended with a typed error
 * ├─ reaper    what the processes belong to    crash ⇒ all workers of this pool, none of another
 * ├─ fleet     one supervisor a slot           a worker's crash stays there until its budget is spent
 * └─ control   dispatch, launching, spares     crash ⇒ touches no worker
 * ```
 *
 * Escalates to Pools, which tries again with backoff; until then the pool is down and calls fail at once with `PoolDown`. Stopped by: Pools.
 */
import { type Child, RegisteredName, RestartPolicy, Supervisor } from "@snakepit/core"
import * as FleetSupervisor from "../execution/FleetSupervisor.ts"
import * as LiveRestart from "../LiveRestart.ts"
import type * as PerWorker from "../PerWorker.ts"
import type { PoolConfig } from "../PoolConfig.ts"
import type { PoolEntry } from "../PoolDirectory.ts"
import * as PoolEvent from "../PoolEvent.ts"
import * as RestartDelay from "../RestartDelay.ts"
import type { WorkerRuntime } from "../WorkerRuntime.ts"
import * as ControlSupervisor from "./ControlSupervisor.ts"
import * as Roster from "./Roster.ts"

const flagsOf = ({ restart }: PoolConfig) =>
  ({
    plane: "control",
    strategy: "rest_for_one",
    restart: RestartPolicy.make({ intensity: restart.pool, delay: RestartDelay.subtree() }),
    because: "each child uses those before it: workers belong to the Reaper, and all work on the Roster",
    limitBecause: "a restart here may cost all workers; a fourth in a minute is an outage: callers are told PoolDown at once",
    events: PoolEvent.pool_supervisor
  }) as const

/** A pool whose workers have the children `C` beside their own. */
export type PoolSupervisor<Pool extends string, C extends Child.Any> = Supervisor.Made<
  Pool,
  | ReturnType<typeof Roster.child>
  | ReturnType<WorkerRuntime["reaper"]>
  | FleetSupervisor.FleetSupervisor<C>
  | ControlSupervisor.ControlSupervisor<C>,
  ReturnType<typeof flagsOf>
>

export const make = <const Pool extends string, C extends Child.Any = never>(
  pool: Pool,
  entry: PoolEntry,
  runtime: WorkerRuntime,
  perWorker: PerWorker.Make<C> = () => []
): PoolSupervisor<Pool, C> => {
  const fleet = RegisteredName.make<FleetSupervisor.Fleet>(`pools/${pool}/fleet`)
  const supervisor = Supervisor.make(pool, {
    ...flagsOf(entry.config()),
    labels: { pool },
    children: [
      Roster.child(pool, entry.versions, entry.roster, {
        digest: runtime.digest,
        hostTools: entry.hostTools,
        openCircuits: () => entry.guard.open
      }),
      runtime.reaper(pool),
      FleetSupervisor.make({ entry, runtime, perWorker, name: fleet }),
      ControlSupervisor.make<C>(runtime, { pool, entry, roster: entry.roster, fleet })
    ]
  })
  return LiveRestart.following(supervisor, entry, ({ restart }) => restart.pool)
}
