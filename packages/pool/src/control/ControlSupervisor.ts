/**
 * Supervises what decides for one pool while its workers run.
 *
 * ```text
 * control        one_for_one
 * ├─ dispatcher  which call goes to which worker       crash ⇒ calls wait in the Roster, no worker is touched
 * ├─ launcher    forkserver and worker_starter         crash ⇒ no worker is touched, and no spare
 * ├─ lifecycle   which workers there should be         crash ⇒ the next one goes on where it was
 * ├─ spares      warm processes                        crash ⇒ new ones are started
 * └─ sampler     how the pool is, once a second        crash ⇒ a second is not told
 * ```
 *
 * Escalates to the pool, as its last child: that restarts it and nothing else. Stopped by: the pool.
 */
import { type Child, RestartPolicy, Supervisor } from "@snakepit/core"
import * as LiveRestart from "../LiveRestart.ts"
import type { PoolConfig } from "../PoolConfig.ts"
import type { PoolEntry } from "../PoolDirectory.ts"
import * as PoolEvent from "../PoolEvent.ts"
import type { WorkerRuntime } from "../WorkerRuntime.ts"
import * as Dispatcher from "./Dispatcher.ts"
import * as LauncherSupervisor from "./LauncherSupervisor.ts"
import * as Lifecycle from "./Lifecycle.ts"
import * as Sampler from "./Sampler.ts"
import * as Spares from "./Spares.ts"
import type * as WorkerStarter from "./WorkerStarter.ts"

const flagsOf = ({ restart }: PoolConfig) =>
  ({
    plane: "control",
    strategy: "one_for_one",
    restart: RestartPolicy.make({ intensity: restart.pool }),
    because: "its children share nothing but the Roster and the fleet, which outlive them",
    limitBecause: "a fourth crash in a minute means that the Roster holds what no new child can mend: a new Roster is up to the pool",
    events: PoolEvent.control_supervisor
  }) as const

/** The control plane of a pool whose workers have the children `C` beside their own. */
export type ControlSupervisor<C extends Child.Any> = Supervisor.Made<
  "control",
  | ReturnType<typeof Dispatcher.child>
  | LauncherSupervisor.LauncherSupervisor<C>
  | ReturnType<typeof Lifecycle.child>
  | ReturnType<typeof Spares.child>
  | ReturnType<typeof Sampler.child>,
  ReturnType<typeof flagsOf>
>

/** What {@link make} takes. */
export type Options = WorkerStarter.Options & { readonly entry: PoolEntry }

export const make = <C extends Child.Any>(runtime: WorkerRuntime, options: Options): ControlSupervisor<C> =>
  LiveRestart.following(
    Supervisor.make("control", {
      ...flagsOf(options.entry.config()),
      children: [
        Dispatcher.child(options.roster),
        LauncherSupervisor.make<C>(runtime, options),
        Lifecycle.child(runtime, options),
        Spares.child(runtime.spare, options.entry),
        Sampler.child(options.roster)
      ]
    }),
    options.entry,
    ({ restart }) => restart.pool
  )
