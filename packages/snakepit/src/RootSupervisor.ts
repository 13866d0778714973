/**
 * The top of the tree.
 *
 * ```text
 * snakepit        one_for_one   gives up ⇒ the program ends with code 70 and the typed reason
 * ├─ foundation   configuration, registries           first up, last down
 * ├─ telemetry    who watches                         never escalates
 * └─ pools        one subtree a pool                  never escalates
 * ```
 */
import type { ProcessRegistry } from "@snakepit/bridge"
import { type RegisteredName, RestartPolicy, Supervisor } from "@snakepit/core"
import { type PoolDirectory, PoolsSupervisor, type WorkerRuntime } from "@snakepit/pool"
import { TelemetrySupervisor } from "@snakepit/telemetry"
import * as FoundationSupervisor from "./FoundationSupervisor.ts"
import type { SnakepitConfig } from "./SnakepitConfig.ts"
import * as SnakepitEvent from "./SnakepitEvent.ts"

/** What {@link make} takes. */
export interface Options {
  readonly input: unknown
  readonly eventLog: string | undefined
  readonly config: RegisteredName.RegisteredName<SnakepitConfig>
  readonly run: ProcessRegistry.Run
  readonly directory: PoolDirectory.PoolDirectory
  readonly runtime: WorkerRuntime.WorkerRuntime
}

export const make = ({ config, directory, eventLog, input, run, runtime }: Options) =>
  Supervisor.make("snakepit", {
    plane: "control",
    strategy: "one_for_one",
    restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "1 minute" } }),
    because: "its children find each other by registered names, so one can be replaced beneath the others",
    limitBecause: "only Foundation escalates to it; after three new Foundations in a minute a new program is the next thing to try",
    events: SnakepitEvent.root_supervisor,
    children: [
      FoundationSupervisor.make({ input, config, run }),
      TelemetrySupervisor.make({ eventLog }),
      PoolsSupervisor.make(directory, runtime)
    ]
  })

/** The tree, for its contract and its escalation. */
export type RootSupervisor = ReturnType<typeof make>
