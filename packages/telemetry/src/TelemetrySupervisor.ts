/**
 * Supervises what looks at the application.
 *
 * ```text
 * telemetry      one_for_one, unlimited restarts with capped backoff
 * └─ event_log   the last events, and their file   crash ⇒ events wait in its buffer
 * ```
 *
 * Never escalates: nobody loses a call because nobody could watch it. Stopped by: Root.
 */
import { RestartPolicy, Supervisor } from "@snakepit/core"
import * as EventLog from "./EventLog.ts"
import * as TelemetryEvent from "./TelemetryEvent.ts"

/** What {@link make} takes. */
export interface Options {
  /** Append every event to this file, one line of JSON each. */
  readonly eventLog?: string | undefined
}

export const make = ({ eventLog }: Options) =>
  Supervisor.make("telemetry", {
    plane: "control",
    strategy: "one_for_one",
    restart: RestartPolicy.make({ intensity: "unlimited" }),
    because: "watching must not hurt what is watched",
    limitBecause: "a full disk may last for hours, and nobody loses a call because nobody could watch it",
    events: TelemetryEvent.telemetry_supervisor,
    children: [EventLog.child(eventLog)]
  })
