/** What looks at an application: the event catalogue, the bus, the log. */
export * as Catalogue from "./Catalogue.ts"
export * as EventBus from "./EventBus.ts"
export * as EventLog from "./EventLog.ts"
export * as IncidentTrace from "./traces/IncidentTrace.ts"
export * as IncidentTracing from "./traces/IncidentTracing.ts"
export * as TelemetryConfig from "./TelemetryConfig.ts"
export * as TelemetryEvent from "./TelemetryEvent.ts"
export * as TelemetrySupervisor from "./TelemetrySupervisor.ts"
