/**
 * The top of the tree.
 *
 * ```text
 * snakepit        one_for_one   gives up, or is stopped ⇒ the program ends with code 70 and the typed reason
 * ├─ foundation   configuration, registries           first up, last down
 * ├─ telemetry    who watches                         never escalates
 * ├─ bridge       who calls from outside              never escalates, unless the gateway is configured to
 * └─ pools        one subtree a pool                  never escalates
 * ```
 */
import { BridgeSupervisor, type GatewayConfig, type Inbox, type ProcessRegistry } from "@snakepit/bridge"
import { type Child, RestartPolicy, Supervisor } from "@snakepit/core"
import { type ConfigServer, type PerWorker, type PoolDirectory, PoolsSupervisor, type WorkerRuntime } from "@snakepit/pool"
import { type TelemetryConfig, TelemetrySupervisor } from "@snakepit/telemetry"
import * as FoundationSupervisor from "./FoundationSupervisor.ts"
import type { SnakepitConfig } from "./SnakepitConfig.ts"
import * as SnakepitEvent from "./SnakepitEvent.ts"
import * as SnakepitMetrics from "./SnakepitMetrics.ts"

/** What {@link make} takes. */
export interface Options<C extends Child.Any> {
  readonly configuration: ConfigServer.Options<typeof SnakepitConfig>
  readonly telemetry: TelemetryConfig.TelemetryConfig
  readonly run: ProcessRegistry.Run
  readonly directory: PoolDirectory.PoolDirectory
  readonly runtime: WorkerRuntime.WorkerRuntime
  /** Where what workers tell waits. */
  readonly inbox: Inbox.Inbox
  readonly perWorker: PerWorker.PerWorker<C>
  /** `undefined`: there is none. */
  readonly gateway: (() => GatewayConfig.GatewayConfig) | undefined
  readonly onGiveUp: GatewayConfig.OnGiveUp
  /** The gateway's budget, where it escalates. */
  readonly gatewayRestart: GatewayConfig.GatewayConfig["restart"]
}

const flags = {
  plane: "control",
  strategy: "one_for_one",
  restart: RestartPolicy.make({ intensity: { maxRestarts: 3, within: "1 minute" } }),
  because: "its children find each other by registered names, so one can be replaced beneath the others",
  limitBecause:
    "only Foundation, and a gateway that is told to, escalate to it by themselves (an operator who fails another child through the root's handle spends this " +
    "budget too); after three new Foundations in a minute a new program is the next thing to try",
  events: SnakepitEvent.root_supervisor
} as const

/** The tree of an application whose workers have the children `C` beside their own, and whose gateway gives up as `G` says. */
export type RootSupervisor<C extends Child.Any, G extends GatewayConfig.OnGiveUp = "stay_down"> = Supervisor.Made<
  "snakepit",
  | ReturnType<typeof FoundationSupervisor.make>
  | ReturnType<typeof TelemetrySupervisor.make>
  | BridgeSupervisor.BridgeSupervisor<G>
  | PoolsSupervisor.PoolsSupervisor<C>,
  typeof flags
>

export const make = <C extends Child.Any>(options: Options<C>): RootSupervisor<C, GatewayConfig.OnGiveUp> => {
  const { configuration, directory, gateway, gatewayRestart, inbox, onGiveUp, perWorker, run, runtime, telemetry } = options
  const pools = { directory, codec: runtime.codec }
  return Supervisor.make("snakepit", {
    ...flags,
    children: [
      FoundationSupervisor.make({ configuration, directory, run }),
      TelemetrySupervisor.make(telemetry, SnakepitMetrics.declarations, { run: run.runId, folder: () => run.registry.latest?.folder }),
      BridgeSupervisor.make({ gateway, onGiveUp, restart: gatewayRestart, inbox, pools }),
      PoolsSupervisor.make(directory, runtime, perWorker)
    ]
  })
}
