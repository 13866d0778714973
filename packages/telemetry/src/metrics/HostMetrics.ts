/**
 * What is measured of the host's own process, declared: with the names of OpenTelemetry's semantic conventions for a process, for Node and for
 * V8, in whose words dashboards are written already.
 *
 * @see https://opentelemetry.io/docs/specs/semconv/system/process-metrics/
 * @see https://opentelemetry.io/docs/specs/semconv/runtime/nodejs-metrics/
 */
import { Instrument } from "@snakepit/core"

const host = { layer: "telemetry", labels: [] } as const

export const buildInfo = Instrument.declare({
  ...host,
  name: "snakepit.build.info",
  kind: "gauge",
  unit: "{info}",
  description: "1; the versions of what runs are its labels",
  labels: ["version", "node"]
})

export const memory = Instrument.declare({
  ...host,
  name: "process.memory.usage",
  kind: "gauge",
  unit: "By",
  description: "resident memory of the host's process"
})

export const cpu = Instrument.declare({
  ...host,
  name: "process.cpu.time",
  kind: "counter",
  unit: "s",
  description: "processor time of the host's process",
  labels: ["cpu.mode"],
  values: { "cpu.mode": ["user", "system"] }
})

export const fds = Instrument.declare({
  ...host,
  name: "process.unix.file_descriptor.count",
  kind: "gauge",
  unit: "{file_descriptor}",
  description: "files and sockets that the host's process has open"
})

export const uptime = Instrument.declare({
  ...host,
  name: "process.uptime",
  kind: "gauge",
  unit: "s",
  description: "how long ago the host's process was started"
})

export const loopDelayMean = Instrument.declare({
  ...host,
  name: "nodejs.eventloop.delay.mean",
  kind: "gauge",
  unit: "s",
  description: "how late timers of the host were on average, within the last minute"
})

export const loopDelayP99 = Instrument.declare({
  ...host,
  name: "nodejs.eventloop.delay.p99",
  kind: "gauge",
  unit: "s",
  description: "how late timers of the host were, but for the latest hundredth, in the worst ten seconds of the last minute"
})

export const loopDelayMax = Instrument.declare({
  ...host,
  name: "nodejs.eventloop.delay.max",
  kind: "gauge",
  unit: "s",
  description: "how late the latest timer of the host was, within the last minute"
})

export const loopUtilization = Instrument.declare({
  ...host,
  name: "nodejs.eventloop.utilization",
  kind: "gauge",
  unit: "1",
  description: "the share of the time that the host's event loop had something to do, within the last minute"
})

/** As V8 names what it does. */
export const gcTypes = ["major", "minor", "incremental", "weakcb"] as const

export const gc = Instrument.declare({
  ...host,
  name: "v8js.gc.duration",
  kind: "histogram",
  unit: "s",
  description: "collections of garbage in the host",
  labels: ["v8js.gc.type"],
  values: { "v8js.gc.type": gcTypes },
  boundaries: [0.01, 0.1, 1, 10] // those of the convention
})

export const events = Instrument.declare({
  ...host,
  name: "snakepit.telemetry.events",
  kind: "counter",
  unit: "{event}",
  description: "events that were emitted"
})

export const eventsDropped = Instrument.declare({
  ...host,
  name: "snakepit.telemetry.events.dropped",
  kind: "counter",
  unit: "{event}",
  description: "events that a handler of the bus, or the event log, could not take in time; which one is in the event that tells so"
})

export const handlerFailures = Instrument.declare({
  ...host,
  name: "snakepit.telemetry.handler.failures",
  kind: "counter",
  unit: "{event}",
  description: "events at which a handler of the bus threw or failed"
})

export const declarations: ReadonlyArray<Instrument.Declaration> = [
  buildInfo,
  memory,
  cpu,
  fds,
  uptime,
  loopDelayMean,
  loopDelayP99,
  loopDelayMax,
  loopUtilization,
  gc,
  events,
  eventsDropped,
  handlerFailures
]
