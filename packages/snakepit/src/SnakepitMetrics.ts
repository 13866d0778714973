/** Every metric of a Snakepit application, gathered from the declarations that stand beside what is measured. */
import { BridgeMetrics } from "@snakepit/bridge"
import type { Instrument } from "@snakepit/core"
import { PoolMetrics } from "@snakepit/pool"
import { ExportMetrics, HostMetrics, SupervisorMetrics } from "@snakepit/telemetry"

export const declarations: ReadonlyArray<Instrument.Declaration> = [
  ...PoolMetrics.declarations,
  ...BridgeMetrics.declarations,
  ...SupervisorMetrics.declarations,
  ...HostMetrics.declarations,
  ...ExportMetrics.declarations
]
