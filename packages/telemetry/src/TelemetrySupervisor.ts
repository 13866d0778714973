/**
 * Supervises what looks at the application.
 *
 * ```text
 * telemetry             one_for_one, unlimited restarts with capped backoff
 * ├─ event_log          the last events, and their file    crash ⇒ events wait in its buffer
 * ├─ history            what is kept for months            crash ⇒ events wait in its buffer
 * ├─ event_feed         events for `snakepit watch`        crash ⇒ whoever watches connects again
 * ├─ metrics_endpoint   /metrics, for Prometheus           crash ⇒ a scrape is missed
 * ├─ otlp_traces        spans to a collector               crash ⇒ what is to be sent waits in its outbox
 * ├─ otlp_logs          logs and events to a collector     as otlp_traces
 * └─ otlp_metrics       metrics to a collector             as otlp_traces
 * ```
 *
 * The last four are there when they are configured. Never escalates: nobody loses a call because nobody could watch it. Stopped by: Root.
 */
import { type Instrument, RestartPolicy, Supervisor } from "@snakepit/core"
import * as EventLog from "./EventLog.ts"
import * as MetricsEndpoint from "./export/MetricsEndpoint.ts"
import * as OtlpSender from "./export/OtlpSender.ts"
import * as History from "./history/History.ts"
import * as EventFeed from "./live/EventFeed.ts"
import type { TelemetryConfig } from "./TelemetryConfig.ts"
import * as TelemetryEvent from "./TelemetryEvent.ts"

/** `declared`: the metrics whose names for Prometheus are known. `source`: whose events the feed tells; without one there is none. */
export const make = (
  { eventLog, feed, otlp, prometheus }: Omit<TelemetryConfig, "history">,
  declared: ReadonlyArray<Instrument.Declaration> = [],
  source?: EventFeed.Source
) =>
  Supervisor.make("telemetry", {
    plane: "control",
    strategy: "one_for_one",
    restart: RestartPolicy.make({ intensity: "unlimited" }),
    because: "watching must not hurt what is watched",
    limitBecause: "a full disk may last for hours, and nobody loses a call because nobody could watch it",
    events: TelemetryEvent.telemetry_supervisor,
    children: [
      EventLog.child(eventLog),
      History.child,
      ...source === undefined || feed === "off" ? [] : [EventFeed.child(source)],
      ...prometheus === undefined ? [] : [MetricsEndpoint.child(prometheus, declared)],
      ...otlp === undefined ? [] : otlp.signals.map(OtlpSender.child)
    ]
  })
