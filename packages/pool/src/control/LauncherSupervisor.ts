/**
 * Supervises what brings workers into being.
 *
 * ```text
 * launcher            rest_for_one, unlimited restarts with capped backoff
 * ├─ forkserver       what new processes are forked from    crash ⇒ living workers go on, new ones are spawned meanwhile
 * └─ worker_starter   fills the fleet                       crash ⇒ the next one finds the fleet as it is
 * ```
 *
 * Never escalates once it is up: what runs needs neither of them. Stopped by: control. The lifecycle replaces the forkserver with a new version.
 */
import { type Child, RestartPolicy, Supervisor } from "@snakepit/core"
import * as PoolEvent from "../PoolEvent.ts"
import type { WorkerRuntime } from "../WorkerRuntime.ts"
import * as WorkerStarter from "./WorkerStarter.ts"

const flags = {
  plane: "control",
  strategy: "rest_for_one",
  restart: RestartPolicy.make({ intensity: "unlimited" }),
  because: "the first workers are forked from the Forkserver; those that live need neither, so no trouble here may reach them",
  limitBecause: "what cannot be launched now is no reason to end what runs",
  events: PoolEvent.launcher_supervisor
} as const

/** The launcher of workers that have the children `C` beside their own. */
export type LauncherSupervisor<C extends Child.Any> = Supervisor.Made<
  "launcher",
  ReturnType<WorkerRuntime["forkserver"]> | WorkerStarter.WorkerStarter<C>,
  typeof flags
>

export const make = <C extends Child.Any>(runtime: WorkerRuntime, options: WorkerStarter.Options): LauncherSupervisor<C> =>
  Supervisor.make("launcher", {
    ...flags,
    children: [
      runtime.forkserver(options.pool, () => options.roster.latest!.versions.proven), // it starts below the Roster
      WorkerStarter.child<C>(options)
    ]
  })
