/**
 * Supervises the pools of an application.
 *
 * ```text
 * pools       dynamic, unlimited restarts with capped backoff
 * ├─ default  ─┐
 * └─ …         ┴ one subtree a pool, each with a budget of its own
 * ```
 *
 * Never escalates: a pool that gave up is down until its next attempt, and the others go on. At boot the first pool that does not start
 * fails the start of all. Stopped by: Root.
 */
import { type Child, DynamicSupervisor, RegisteredName, RestartPolicy, Supervisor } from "@snakepit/core"
import * as Effect from "effect/Effect"
import type * as PerWorker from "../PerWorker.ts"
import type { PoolDirectory } from "../PoolDirectory.ts"
import * as PoolEvent from "../PoolEvent.ts"
import type { WorkerRuntime } from "../WorkerRuntime.ts"
import * as PoolSupervisor from "./PoolSupervisor.ts"

const flags = {
  plane: "control",
  restart: RestartPolicy.make({ intensity: "unlimited" }),
  because: "a pool that keeps failing is an outage of that pool, not of the application",
  limitBecause: "a pool that is down is tried again for ever, at most every 5 s, and the other pools must not pay for it",
  events: PoolEvent.pools_supervisor
} as const

/** All pools, whose workers have the children `C` beside their own. */
export type PoolsSupervisor<C extends Child.Any> = Supervisor.Made<
  "pools",
  PoolSupervisor.PoolSupervisor<string, C>,
  typeof flags,
  PoolSupervisor.PoolSupervisor<string, C>
>

export const make = <C extends Child.Any = never>(
  directory: PoolDirectory,
  runtime: WorkerRuntime,
  perWorker: PerWorker.PerWorker<C> = {}
): PoolsSupervisor<C> =>
  DynamicSupervisor.make("pools", {
    ...flags,
    initial: Effect.map(Effect.orDie(RegisteredName.whereis(directory.config)), ({ pools }) => Object.keys(pools)),
    shown: directory.expected,
    child: (pool) => {
      const entry = directory.entry(pool)
      const supervisor = PoolSupervisor.make(pool, entry, runtime, perWorker[pool])
      return Supervisor.watched(supervisor, {
        up: Effect.sync(entry.isUp),
        down: (error) => Effect.sync(() => entry.isDown(error.message))
      })
    }
  })
