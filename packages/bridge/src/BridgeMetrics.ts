/** What is measured of the way between host and workers, and of the gateway, declared. */
import { Instrument } from "@snakepit/core"

/** `out`: from the host. */
export type Direction = "in" | "out"

export const directions: ReadonlyArray<Direction> = ["in", "out"]

/** How a call through the gateway ends: the client was answered, told an error, or had gone. */
export const gatewayOutcomes = ["ok", "failed", "cancelled"] as const

/**
 * Why a record of a worker's telemetry is left out: the worker (`queue`, `invalid`), its tap (`credit`, `tap`), or the host (`ingest`, `shape`, `names`,
 * `spans`, `keys`, `values`, `defect`). `other`: the worker has said something else.
 */
export const dropReasons = [
  "queue",
  "invalid",
  "credit",
  "tap",
  "ingest",
  "shape",
  "names",
  "spans",
  "keys",
  "values",
  "defect",
  "other"
] as const

export type DropReason = typeof dropReasons[number]

const bridge = { layer: "bridge", labels: ["pool"] } as const
const ways = { ...bridge, labels: ["pool", "direction"], values: { direction: directions } } as const

export const connections = Instrument.declare({
  ...bridge,
  name: "snakepit.bridge.connections",
  kind: "gauge",
  unit: "{connection}",
  description: "streams to workers and spares that are open, and have shaken hands"
})

export const reconnects = Instrument.declare({
  ...bridge,
  name: "snakepit.bridge.reconnects",
  kind: "counter",
  unit: "{connection}",
  description: "streams that took the place of one that broke while its process lived on"
})

export const messages = Instrument.declare({
  ...ways,
  name: "snakepit.bridge.messages",
  kind: "counter",
  unit: "{message}",
  description: "messages between host and workers; one holds all that was said in a tick"
})

export const frames = Instrument.declare({
  ...ways,
  name: "snakepit.bridge.frames",
  kind: "counter",
  unit: "{frame}",
  description: "what messages hold: calls, results, elements, credit, heartbeats and the like"
})

export const bytes = Instrument.declare({
  ...ways,
  name: "snakepit.bridge.io",
  kind: "counter",
  unit: "By",
  description: "bytes of the messages; what travels in shared memory is not among them"
})

export const unread = Instrument.declare({
  ...bridge,
  name: "snakepit.bridge.messages.unread",
  kind: "gauge",
  unit: "{message}",
  description: "messages to workers that are on their way unread; at most two to each"
})

export const payloadSize = Instrument.declare({
  ...ways,
  name: "snakepit.bridge.payload.size",
  kind: "histogram",
  unit: "By",
  description:
    "of arguments, inputs and results of host tools (out), of results, elements and arguments of host tools (in); however they travel",
  boundaries: [1024, 65_536, 1_048_576, 16_777_216] // 64 KiB: where shared memory begins; 16 MiB: maxPayload
})

export const segments = Instrument.declare({
  ...ways,
  name: "snakepit.bridge.segments",
  kind: "gauge",
  unit: "{segment}",
  description: "segments of shared memory that hold a payload which somebody still looks into: of the host (out), and of workers (in)"
})

export const boots = Instrument.declare({
  layer: "execution",
  labels: ["pool"],
  name: "snakepit.worker.boot.duration",
  kind: "histogram",
  unit: "s",
  description:
    "how long slots waited for a process that has imported its adapter and listens, for their turn too; a spare is there at once",
  boundaries: [0.05, 0.5, 2, 10, 60] // a spare, a fork, a spawn, the import of a large library, a model that is loaded
})

export const recordsDropped = Instrument.declare({
  ...bridge,
  name: "snakepit.python.records.dropped",
  kind: "counter",
  unit: "{record}",
  description: "records of the telemetry of workers that were left out, by why: docs/telemetry/from-python.md says what each means",
  labels: ["pool", "reason"],
  values: { reason: dropReasons }
})

export const gatewayCalls = Instrument.declare({
  layer: "bridge",
  name: "snakepit.gateway.calls",
  kind: "counter",
  unit: "{call}",
  description: "calls through the gateway that are over",
  labels: ["outcome"],
  values: { outcome: gatewayOutcomes }
})

export const gatewayCallsOpen = Instrument.declare({
  layer: "bridge",
  name: "snakepit.gateway.calls.open",
  kind: "gauge",
  unit: "{call}",
  description: "calls through the gateway that are not over",
  labels: []
})

export const gatewayConnections = Instrument.declare({
  layer: "bridge",
  name: "snakepit.gateway.connections",
  kind: "gauge",
  unit: "{connection}",
  description: "connections of clients to the gateway",
  labels: []
})

/** Everything this package measures. */
export const declarations: ReadonlyArray<Instrument.Declaration> = [
  connections,
  reconnects,
  messages,
  frames,
  bytes,
  unread,
  payloadSize,
  segments,
  boots,
  recordsDropped,
  gatewayCalls,
  gatewayCallsOpen,
  gatewayConnections
]
