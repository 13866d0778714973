/**
 * Supervises the workers of one pool, one supervisor a slot.
 *
 * ```text
 * fleet   dynamic, starts empty
 * ├─ 0    the worker in slot 0 ─┐
 * ├─ 1    the worker in slot 1  ├─ given to it by the worker_starter, restarted each by itself
 * └─ …    size of the pool     ─┘  those that come and go as planned: by the lifecycle
 * ```
 *
 * It outlives whoever starts its workers, so a crash of that touches none of them. Escalates to the pool when its slots need more restarts
 * than `restart.fleet` allows, or at once when an adapter cannot be served and no worker is up. Stopped by: the pool.
 */
import { type Child, DynamicSupervisor, Event, type RegisteredName, RestartPolicy, Supervisor, type SupervisorHandle } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Roster from "../control/Roster.ts"
import * as LiveRestart from "../LiveRestart.ts"
import type * as PerWorker from "../PerWorker.ts"
import type { PoolConfig } from "../PoolConfig.ts"
import type { PoolEntry } from "../PoolDirectory.ts"
import * as PoolEvent from "../PoolEvent.ts"
import * as RestartDelay from "../RestartDelay.ts"
import type { WorkerRuntime } from "../WorkerRuntime.ts"
import * as WorkerSupervisor from "./WorkerSupervisor.ts"

/** The fleet as worker_starter and lifecycle know it: it takes slots, and may give up. */
export type Fleet = Supervisor.Running<{ readonly message: string }> & SupervisorHandle.AddsChildren<never>

/** What {@link make} takes. */
export interface Options<C extends Child.Any> {
  readonly entry: PoolEntry
  readonly runtime: WorkerRuntime
  readonly perWorker: PerWorker.Make<C>
  /** Where the worker_starter finds it. */
  readonly name: RegisteredName.RegisteredName<Fleet>
}

const flagsOf = ({ restart }: PoolConfig, patience: RestartDelay.Patience) =>
  ({
    plane: "execution",
    mountOn: "control",
    restart: RestartPolicy.make({ intensity: restart.fleet, delay: RestartDelay.subtree(patience) }),
    because: "workers are independent; one that keeps failing must not take the others along before the budget of all is spent",
    limitBecause: "twice the default size: each slot may be started anew twice before the cause is taken to be common to all",
    events: PoolEvent.fleet_supervisor
  }) as const

/** The fleet of workers that have the children `C` beside their own. It starts empty, so its start cannot fail. */
export type FleetSupervisor<C extends Child.Any> = Supervisor.Made<
  "fleet",
  WorkerSupervisor.WorkerSupervisor<C>,
  ReturnType<typeof flagsOf>,
  WorkerSupervisor.WorkerSupervisor<C>,
  never
>

export const make = <C extends Child.Any>(options: Options<C>): FleetSupervisor<C> => {
  const { entry, name, perWorker, runtime } = options
  const { pool, roster, versions } = entry
  const fleet = DynamicSupervisor.make("fleet", {
    ...flagsOf(entry.config(), (slot) => RestartDelay.besideOthers(entry, Number(slot), "fleet")),
    startedBy: "control/launcher/worker_starter",
    child: (slot) => WorkerSupervisor.make(slot, Roster.seat(pool, versions, roster, Number(slot)), entry, runtime, perWorker)
  })
  const registered = Supervisor.registered(fleet, name as RegisteredName.RegisteredName<Fleet & Supervisor.RunningOf<typeof fleet>>)
  const followed = LiveRestart.following(registered, entry, ({ restart }) => restart.fleet)
  const sink = Effect.map(Event.EventSink, (sink) => Roster.notingRestarts(sink, roster))
  return { ...followed, start: Effect.provideServiceEffect(followed.start, Event.EventSink, sink) }
}
