/** What is measured of sending to a collector. */
import { Instrument } from "@snakepit/core"

export const sent = Instrument.declare({
  name: "snakepit.otlp.sent",
  layer: "telemetry",
  kind: "counter",
  unit: "{item}",
  description: "spans, log records and metric points that the collector has taken",
  labels: ["signal"]
})

export const dropped = Instrument.declare({
  name: "snakepit.otlp.dropped",
  layer: "telemetry",
  kind: "counter",
  unit: "{item}",
  description: "spans, log records and metric points that did not reach the collector: refused by it, or beyond what may wait (full)",
  labels: ["signal", "reason"]
})

export const waiting = Instrument.declare({
  name: "snakepit.otlp.waiting",
  layer: "telemetry",
  kind: "gauge",
  unit: "By",
  description: "bytes that wait for the collector",
  labels: ["signal"]
})

export const declarations: ReadonlyArray<Instrument.Declaration> = [sent, dropped, waiting]
