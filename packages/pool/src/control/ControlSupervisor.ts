/**
 * Supervises what decides for one pool while its workers run.
 *
 * ```text
 * control        one_for_one
 * └─ dispatcher  which call goes to which worker   crash ⇒ calls wait in the Roster, no worker is touched
 * ```
 *
 * Escalates to the pool. Stopped by: the pool.
 */
import { type RegisteredName, RestartPolicy, Supervisor } from "@snakepit/core"
import type { PoolConfig } from "../PoolConfig.ts"
import * as PoolEvent from "../PoolEvent.ts"
import * as Dispatcher from "./Dispatcher.ts"
import type { Roster } from "./Roster.ts"

export const make = (config: PoolConfig, roster: RegisteredName.RegisteredName<Roster>) =>
  Supervisor.make("control", {
    plane: "control",
    strategy: "one_for_one",
    restart: RestartPolicy.make({ intensity: config.restart.pool }),
    because: "its children share nothing but the Roster, which outlives them",
    limitBecause: "a fourth crash in a minute means that the Roster holds what no new child can mend: a new Roster is up to the pool",
    events: PoolEvent.control_supervisor,
    children: [Dispatcher.child(roster)]
  })
