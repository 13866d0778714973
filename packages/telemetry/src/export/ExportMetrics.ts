/** What is measured of sending to a collector. */
import { Instrument } from "@snakepit/core"
import { signals } from "./OtlpConfig.ts"

const otlp = { layer: "telemetry", labels: ["signal"], values: { signal: signals } } as const

export const sent = Instrument.declare({
  ...otlp,
  name: "snakepit.otlp.sent",
  kind: "counter",
  unit: "{item}",
  description: "spans, log records and metric points that the collector has taken"
})

export const dropped = Instrument.declare({
  ...otlp,
  name: "snakepit.otlp.dropped",
  kind: "counter",
  unit: "{item}",
  description: "spans, log records and metric points that did not reach the collector: refused by it, or beyond what may wait (full)",
  labels: ["signal", "reason"],
  values: { signal: signals, reason: ["refused", "full"] }
})

export const waiting = Instrument.declare({
  ...otlp,
  name: "snakepit.otlp.waiting",
  kind: "gauge",
  unit: "By",
  description: "bytes that wait for the collector"
})

export const declarations: ReadonlyArray<Instrument.Declaration> = [sent, dropped, waiting]
