/** The events of the telemetry layer itself. */
import { Event, SupervisorEvent } from "@snakepit/core"
import * as Schema from "effect/Schema"

export const telemetry_supervisor = SupervisorEvent.of("telemetry_supervisor", "telemetry")

export const metrics_endpoint_start = Event.declare({
  name: "snakepit.metrics_endpoint.start",
  layer: "telemetry",
  when: "the metrics can be scraped at `address`",
  measurements: {},
  attributes: { address: Schema.String }
})

export const otlp_drop = Event.declare({
  name: "snakepit.otlp.drop",
  layer: "telemetry",
  when: "spans, log records or metric points did not reach the collector: it refused them (`status`), or more waited for it than is kept",
  measurements: { items: Schema.Int, status: Schema.UndefinedOr(Schema.Int) },
  attributes: { signal: Schema.Literals(["traces", "logs", "metrics"]), reason: Schema.Literals(["refused", "full"]) }
})

/** Everything this package emits. */
export const declarations: ReadonlyArray<Event.Declaration> = [
  ...Object.values(telemetry_supervisor),
  metrics_endpoint_start,
  otlp_drop
]
