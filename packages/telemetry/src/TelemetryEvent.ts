/** The events of the telemetry layer itself. */
import { type Event, SupervisorEvent } from "@snakepit/core"

export const telemetry_supervisor = SupervisorEvent.of("telemetry_supervisor", "telemetry")

/** Everything this package emits. */
export const declarations: ReadonlyArray<Event.Declaration> = Object.values(telemetry_supervisor)
