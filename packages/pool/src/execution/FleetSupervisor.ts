/**
 * Supervises the workers of one pool, one supervisor a slot.
 *
 * ```text
 * fleet   dynamic
 * ├─ 0    the worker in slot 0 ─┐
 * ├─ 1    the worker in slot 1  ├─ started at once, restarted each by itself
 * └─ …    size of the pool     ─┘
 * ```
 *
 * Escalates to the pool when its slots need more restarts than `restart.fleet` allows. Stopped by: the pool.
 */
import { DynamicSupervisor, RegisteredName, RestartPolicy } from "@snakepit/core"
import * as Effect from "effect/Effect"
import * as Roster from "../control/Roster.ts"
import type { PoolConfig } from "../PoolConfig.ts"
import * as PoolEvent from "../PoolEvent.ts"
import type { WorkerRuntime } from "../WorkerRuntime.ts"
import * as WorkerSupervisor from "./WorkerSupervisor.ts"

export const make = (
  pool: string,
  config: PoolConfig,
  runtime: WorkerRuntime,
  roster: RegisteredName.RegisteredName<Roster.Roster>
) =>
  DynamicSupervisor.make("fleet", {
    plane: "execution",
    mountOn: "control",
    restart: RestartPolicy.make({ intensity: config.restart.fleet }),
    because: "workers are independent; one that keeps failing must not take the others along before the budget of all is spent",
    limitBecause: "twice the default size: each slot may be started anew twice before the cause is taken to be common to all",
    events: PoolEvent.fleet_supervisor,
    initial: Effect.map(Effect.orDie(RegisteredName.whereis(roster)), ({ state }) => [...state.slots.keys()].map(String)),
    child: (slot) => WorkerSupervisor.make(slot, Roster.seat(pool, config, roster, Number(slot)), runtime, roster)
  })
