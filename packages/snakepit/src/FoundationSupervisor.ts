/**
 * Supervises what everything else stands on: first up, last down.
 *
 * ```text
 * foundation            rest_for_one
 * ├─ config_server      the checked configuration   crash ⇒ the same snapshot again, and those below
 * ├─ process_registry   which processes are ours    crash ⇒ keeps what it knew; no worker is touched
 * └─ session_store      ends sessions in time       crash ⇒ every session stays; no worker and no call is touched
 * ```
 *
 * Escalates to Root. Stopped by: Root.
 */
import { ProcessRegistry } from "@snakepit/bridge"
import { type RegisteredName, RestartPolicy, Supervisor } from "@snakepit/core"
import { ConfigServer, type PoolDirectory, SessionStore } from "@snakepit/pool"
import type { SnakepitConfig } from "./SnakepitConfig.ts"
import * as SnakepitEvent from "./SnakepitEvent.ts"

/** What {@link make} takes. */
export interface Options {
  readonly schema: typeof SnakepitConfig
  /** The configuration as the user wrote it. */
  readonly input: unknown
  readonly config: RegisteredName.RegisteredName<SnakepitConfig>
  readonly run: ProcessRegistry.Run
  readonly directory: PoolDirectory.PoolDirectory
}

export const make = ({ config, directory, input, run, schema }: Options) =>
  Supervisor.make("foundation", {
    plane: "control",
    strategy: "rest_for_one",
    restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "1 minute" } }),
    because: "the registry prepares what the configuration names",
    limitBecause: "its children hold little and touch little: a fourth crash in a minute is a fault of theirs, no bad luck",
    events: SnakepitEvent.foundation_supervisor,
    children: [
      ConfigServer.child({ schema, input, name: config }),
      ProcessRegistry.child(run, config),
      SessionStore.child(directory)
    ]
  })
