/**
 * Supervises what looks at the application.
 *
 * ```text
 * telemetry       one_for_one, unlimited restarts with capped backoff
 * ├─ event_log    the last events, and their file    crash ⇒ events wait in its buffer
 * └─ event_feed   events for `snakepit watch`        crash ⇒ whoever watches connects again
 * ```
 *
 * Never escalates: nobody loses a call because nobody could watch it. Stopped by: Root.
 */
import { RestartPolicy, Supervisor } from "@snakepit/core"
import * as EventLog from "./EventLog.ts"
import * as EventFeed from "./live/EventFeed.ts"
import type { TelemetryConfig } from "./TelemetryConfig.ts"
import * as TelemetryEvent from "./TelemetryEvent.ts"

export const make = ({ eventLog, feed }: TelemetryConfig, source: EventFeed.Source) =>
  Supervisor.make("telemetry", {
    plane: "control",
    strategy: "one_for_one",
    restart: RestartPolicy.make({ intensity: "unlimited" }),
    because: "watching must not hurt what is watched",
    limitBecause: "a full disk may last for hours, and nobody loses a call because nobody could watch it",
    events: TelemetryEvent.telemetry_supervisor,
    children: [EventLog.child(eventLog), ...(feed === "on" ? [EventFeed.child(source)] : [])]
  })
