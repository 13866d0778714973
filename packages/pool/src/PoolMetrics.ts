/**
 * What is measured of pools and their workers, declared. `control/CallCounts.ts` counts calls, `control/PoolSeries.ts` and
 * `execution/WorkerSeries.ts` give the series.
 *
 * **Details**
 *
 * A worker's process is measured under `snakepit.worker`, with the names that OpenTelemetry has for a process behind that: `process.*` itself is
 * about the process that reports, which is the host (ADR 18).
 */
import { Instrument } from "@snakepit/core"
import type { CallError } from "./CallError.ts"
import { becauses } from "./control/Recycle.ts"

/**
 * How a call ends. `failed`: its tool raised, or what went in or came out cannot be used. `refused`: it was not run. `lost`: with its worker, or with
 * the session that the worker served.
 */
export type Outcome = "ok" | "failed" | "refused" | "timeout" | "lost" | "cancelled"

/** Six, although there are some 25 errors: each tool of each pool has a series of each. */
export const outcomes: ReadonlyArray<Outcome> = ["ok", "failed", "refused", "timeout", "lost", "cancelled"]

type Tag = CallError["_tag"]

const outcomeByTag: { readonly [T in Tag]: Exclude<Outcome, "ok"> } = {
  PythonError: "failed",
  InvalidInput: "failed",
  InvalidResult: "failed",
  ResultTooLarge: "failed",
  InvalidPayload: "refused",
  PayloadTooLarge: "refused",
  ToolNotFound: "refused",
  ContractMismatch: "refused",
  CallCycle: "refused",
  QueueFull: "refused",
  PoolDown: "refused",
  PoolDraining: "refused",
  SessionBusy: "refused",
  SessionEnded: "refused",
  SessionsFull: "refused",
  CallPoisoned: "refused",
  CircuitOpen: "refused",
  RateLimited: "refused",
  QueueTimeout: "timeout",
  CallTimeout: "timeout",
  DeadlineExceeded: "timeout",
  WorkerCrashed: "lost",
  OutcomeUnknown: "lost",
  SessionLost: "lost",
  Cancelled: "cancelled"
}

/** The errors that a call may end with, by their tags. */
export const errors: ReadonlyArray<Tag> = Object.keys(outcomeByTag) as ReadonlyArray<Tag>

export const outcomeOf = ({ _tag }: CallError): Outcome => outcomeByTag[_tag]

/** What a tool is called that nobody has announced, like `module:function`, and all beyond the first {@link mostTools}. */
export const otherTool = "other"

/** 100 tools of a pool have series of their own: each has some twenty, and nobody reads more curves. */
export const mostTools = 100

/** How a place stands. `ready`: it would take a call. `busy`: it has as many as it runs at once. `avoided`: tainted, ejected or unreachable. */
export const workerStates = ["ready", "busy", "starting", "draining", "cordoned", "avoided"] as const

/** How a worker stands. */
export type WorkerState = typeof workerStates[number]

/** Of a call or a wait, in seconds: 1 ms to a minute. Seven: each tool of each pool has so many series, and three more. */
const callBoundaries = [0.001, 0.005, 0.02, 0.1, 0.5, 5, 60]

const pool = { layer: "control", labels: ["pool"] } as const
const worker = { layer: "execution", labels: ["pool", "slot"] } as const

export const workers = Instrument.declare({
  ...pool,
  name: "snakepit.pool.workers",
  kind: "gauge",
  unit: "{worker}",
  description: "workers by how they stand; each counts once",
  labels: ["pool", "state"],
  values: { state: workerStates }
})

export const size = Instrument.declare({
  ...pool,
  name: "snakepit.pool.size",
  kind: "gauge",
  unit: "{worker}",
  description: "workers that there should be: as configured, as an operator has said, or as autoscale has decided"
})

export const queueDepth = Instrument.declare({
  ...pool,
  name: "snakepit.pool.queue.depth",
  kind: "gauge",
  unit: "{call}",
  description: "calls that wait for a worker"
})

export const queueCapacity = Instrument.declare({
  ...pool,
  name: "snakepit.pool.queue.capacity",
  kind: "gauge",
  unit: "{call}",
  description: "calls that may wait before the next is refused"
})

export const queueWait = Instrument.declare({
  ...pool,
  name: "snakepit.pool.queue.wait",
  kind: "histogram",
  unit: "s",
  description: "how long calls waited before they were sent to a worker, each attempt by itself",
  boundaries: callBoundaries
})

export const callsOpen = Instrument.declare({
  ...pool,
  name: "snakepit.pool.calls.open",
  kind: "gauge",
  unit: "{call}",
  description: "accepted calls that are not over: those that wait, run, or are tried again soon"
})

export const saturation = Instrument.declare({
  ...pool,
  name: "snakepit.pool.saturation",
  kind: "gauge",
  unit: "1",
  description:
    "calls that workers have, by those that they run at once; above 1 some were sent ahead. 1 where no worker is up and calls wait"
})

export const calls = Instrument.declare({
  ...pool,
  name: "snakepit.pool.calls",
  kind: "counter",
  unit: "{call}",
  description: "calls that are over, refused ones too, by tool and outcome",
  labels: ["pool", "tool", "outcome"],
  values: { outcome: outcomes }
})

export const callDuration = Instrument.declare({
  ...pool,
  name: "snakepit.pool.call.duration",
  kind: "histogram",
  unit: "s",
  description: "from the offer of an accepted call to its outcome, its wait included",
  labels: ["pool", "tool"],
  boundaries: callBoundaries
})

export const failures = Instrument.declare({
  ...pool,
  name: "snakepit.pool.failures",
  kind: "counter",
  unit: "{call}",
  description: "calls that ended with an error, refused ones too, by its tag",
  labels: ["pool", "error"],
  values: { error: errors }
})

export const accepted = Instrument.declare({
  ...pool,
  name: "snakepit.pool.calls.accepted",
  kind: "counter",
  unit: "{call}",
  description: "calls that were accepted; each ends in exactly one outcome"
})

export const retries = Instrument.declare({
  ...pool,
  name: "snakepit.pool.retries",
  kind: "counter",
  unit: "{attempt}",
  description: "attempts beyond the first, at idempotent calls whose worker was lost"
})

export const twice = Instrument.declare({
  ...pool,
  name: "snakepit.pool.calls.twice",
  kind: "counter",
  unit: "{call}",
  description: "calls not declared idempotent that began twice; anything but 0 is a defect of Snakepit"
})

export const sessions = Instrument.declare({
  ...pool,
  name: "snakepit.pool.sessions",
  kind: "gauge",
  unit: "{session}",
  description: "sessions that are not over"
})

export const hostCalls = Instrument.declare({
  ...pool,
  name: "snakepit.pool.host_calls",
  kind: "counter",
  unit: "{call}",
  description: "calls of host tools that are over, by whether they gave a result",
  labels: ["pool", "outcome"],
  values: { outcome: ["ok", "failed"] }
})

export const hostCallsOpen = Instrument.declare({
  ...pool,
  name: "snakepit.pool.host_calls.open",
  kind: "gauge",
  unit: "{call}",
  description: "host tools that run for workers of the pool"
})

export const circuits = Instrument.declare({
  ...pool,
  name: "snakepit.pool.circuits.open",
  kind: "gauge",
  unit: "{circuit}",
  description: "circuit breakers, of the pool and of its tools, that refuse calls or have one find out"
})

export const quarantined = Instrument.declare({
  ...pool,
  name: "snakepit.pool.quarantine.size",
  kind: "gauge",
  unit: "{call}",
  description: "calls, by tool and arguments, that are refused because they have crashed too many workers"
})

export const stops = Instrument.declare({
  ...pool,
  name: "snakepit.pool.stops",
  kind: "counter",
  unit: "{worker}",
  description:
    "workers that were stopped as planned, by why: a limit of recycle (calls, age, memory), another version, an operator, fewer that are to be",
  labels: ["pool", "because"],
  values: { because: becauses }
})

export const heartbeatLatency = Instrument.declare({
  ...worker,
  name: "snakepit.worker.heartbeat.latency",
  kind: "histogram",
  unit: "s",
  description: "how long answered heartbeats took, of all workers of the pool",
  labels: ["pool"],
  boundaries: [0.001, 0.005, 0.02, 0.1, 0.5]
})

export const heartbeatMisses = Instrument.declare({
  ...worker,
  name: "snakepit.worker.heartbeat.misses",
  kind: "counter",
  unit: "{beat}",
  description: "heartbeats that were not answered in time, of all workers of the pool",
  labels: ["pool"]
})

export const heartbeatAge = Instrument.declare({
  ...worker,
  name: "snakepit.worker.heartbeat.age",
  kind: "gauge",
  unit: "s",
  description: "how long ago the worker was last heard to be alive: its last answer, or its start"
})

export const generation = Instrument.declare({
  ...worker,
  name: "snakepit.worker.generation",
  kind: "gauge",
  unit: "{generation}",
  description: "which filling of the slot its worker is, from 0 since the pool opened: one that changes often flaps"
})

export const workerCalls = Instrument.declare({
  ...worker,
  name: "snakepit.worker.calls",
  kind: "counter",
  unit: "{call}",
  description: "calls that have left the slot since the pool opened, whatever became of them"
})

export const memory = Instrument.declare({
  ...worker,
  name: "snakepit.worker.memory.usage",
  kind: "gauge",
  unit: "By",
  description: "resident memory of the worker's process, without its descendants; what workers share counts in each"
})

export const cpu = Instrument.declare({
  ...worker,
  name: "snakepit.worker.cpu.time",
  kind: "counter",
  unit: "s",
  description: "user and system time of all threads of the worker's process"
})

export const fds = Instrument.declare({
  ...worker,
  name: "snakepit.worker.unix.file_descriptor.count",
  kind: "gauge",
  unit: "{file_descriptor}",
  description: "files and sockets that the worker's process has open"
})

export const threads = Instrument.declare({
  ...worker,
  name: "snakepit.worker.thread.count",
  kind: "gauge",
  unit: "{thread}",
  description: "threads of the worker's process"
})

/** Everything this package measures. */
export const declarations: ReadonlyArray<Instrument.Declaration> = [
  workers,
  size,
  queueDepth,
  queueCapacity,
  queueWait,
  callsOpen,
  saturation,
  calls,
  callDuration,
  failures,
  accepted,
  retries,
  twice,
  sessions,
  hostCalls,
  hostCallsOpen,
  circuits,
  quarantined,
  stops,
  heartbeatLatency,
  heartbeatMisses,
  heartbeatAge,
  generation,
  workerCalls,
  memory,
  cpu,
  fds,
  threads
]
