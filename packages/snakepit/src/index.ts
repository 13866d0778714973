/** Snakepit: Python from Effect, under supervision. */
export { GatewayConfig, Survivors } from "@snakepit/bridge"
export { Child, Contract, Event, ExitReason, Instrument, SupervisorError, Tree } from "@snakepit/core"
export {
  CallError,
  ConfigInvalid,
  ConfigPlan,
  HostTools,
  NdArray,
  Payload,
  PerWorker,
  Pool,
  PoolConfig,
  PoolControl,
  Session,
  Tool,
  TraceContext,
  WorkerError
} from "@snakepit/pool"
export { Catalogue, EventBus, EventLog, History, HistoryReader, LiveView, StartedTooOften, Watch } from "@snakepit/telemetry"
export * as Configuration from "./Configuration.ts"
export * as Snakepit from "./Snakepit.ts"
export * as SnakepitConfig from "./SnakepitConfig.ts"
export * as SnakepitEvent from "./SnakepitEvent.ts"
export * as SnakepitMetrics from "./SnakepitMetrics.ts"
