/** The events of the telemetry layer itself. */
import { Event, SupervisorEvent, Unit } from "@snakepit/core"
import * as Schema from "effect/Schema"

export const telemetry_supervisor = SupervisorEvent.of("telemetry_supervisor", "telemetry")

const handler = { handler: Schema.String, pattern: Schema.String }

export const event_handler_drop = Event.declare({
  name: "snakepit.event_handler.drop",
  layer: "telemetry",
  when:
    "a handler of events is so slow that its queue has dropped some: so many since it was attached. At most once in 10 s for each handler",
  path: "snakepit/telemetry",
  measurements: { dropped: Unit.count("event") },
  attributes: handler
})

export const event_handler_fail = Event.declare({
  name: "snakepit.event_handler.fail",
  layer: "telemetry",
  when: "a handler of events threw or failed, for the time that `failed` says since it was attached. At most once in 10 s for each handler",
  path: "snakepit/telemetry",
  measurements: { failed: Unit.count("event") },
  attributes: { ...handler, /** At which it failed. */ event: Schema.String, cause: Schema.String }
})

/** Everything this package emits. */
export const declarations: ReadonlyArray<Event.Declaration> = [
  ...Object.values(telemetry_supervisor),
  event_handler_drop,
  event_handler_fail
]
