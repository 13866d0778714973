/** The events of processes and of what holds them, of the gateway, and of what Python tells. */
import { Event, SupervisorEvent, Unit } from "@snakepit/core"
import * as Schema from "effect/Schema"

const pool = { pool: Schema.String }
const worker = { ...pool, slot: Schema.Int, generation: Schema.Int, pid: Schema.Int }
/** Of the supervisors, which the end of a process belongs to, or which a process is started after; `undefined`: it is planned. */
const incident = Schema.UndefinedOr(Schema.String)
const end = {
  /** Its supervisor stopped it, and nothing was wrong with it. */
  planned: Schema.Boolean,
  /** `verdict`: it was judged stopped, hung, unreachable or over its limit, and `cause` says so. `reaper`: its Reaper was lost. */
  endedBy: Schema.Literals(["itself", "stop", "verdict", "reaper"]),
  code: Schema.UndefinedOr(Schema.Int),
  signal: Schema.UndefinedOr(Schema.String),
  /** A tag of `ExitClass`: `Segfault`, `OutOfMemory`, `KilledByUs` … */
  exitClass: Schema.String,
  /** Why, in words, with the evidence. */
  cause: Schema.String,
  /** The last lines that it wrote. */
  output: Schema.String
}

export const reaper_start = Event.declare({
  name: "snakepit.reaper.start",
  layer: "control",
  when: "a pool's Reaper is up; `subreaper` says whether it keeps orphans",
  path: "snakepit/pools/{pool}/reaper",
  measurements: {},
  attributes: { ...pool, pid: Schema.Int, subreaper: Schema.Boolean }
})

export const reaper_complain = Event.declare({
  name: "snakepit.reaper.complain",
  layer: "control",
  when:
    "a pool's Reaper could not do something and goes on without: a setting that a worker runs without, a line that it did not understand",
  path: "snakepit/pools/{pool}/reaper",
  measurements: {},
  attributes: { ...pool, message: Schema.String }
})

export const reaper_dropped = Event.declare({
  name: "snakepit.reaper.dropped",
  layer: "control",
  when: "a pool's workers wrote more output than the host took in: so many lines were left out of what errors and events show of it",
  path: "snakepit/pools/{pool}/reaper",
  measurements: { lines: Unit.count("line") },
  attributes: pool
})

export const forkserver_start = Event.declare({
  name: "snakepit.forkserver.start",
  layer: "control",
  when: "a pool's forkserver has imported the adapter and forks its workers (`mode` is fork), or workers are spawned, and `why`",
  path: "snakepit/pools/{pool}/control/launcher/forkserver",
  measurements: { tookMillis: Schema.Finite },
  attributes: {
    ...pool,
    mode: Schema.Literals(["fork", "spawn"]),
    why: Schema.String,
    pid: Schema.UndefinedOr(Schema.Int)
  }
})

export const forkserver_exit = Event.declare({
  name: "snakepit.forkserver.exit",
  layer: "control",
  when: "a pool's forkserver ended, asked for (`planned`) or not; its workers live on",
  path: "snakepit/pools/{pool}/control/launcher/forkserver",
  measurements: {},
  attributes: { ...pool, pid: Schema.Int, ...end }
})

export const spare_exit = Event.declare({
  name: "snakepit.spare.exit",
  layer: "execution",
  when: "a spare ended before a slot needed it, asked for (`planned`) or not",
  path: "snakepit/pools/{pool}/control/spares",
  measurements: {},
  attributes: { ...pool, pid: Schema.Int, ...end }
})

export const process_start = Event.declare({
  name: "snakepit.process.start",
  layer: "execution",
  when: "a slot has a process that has imported its adapter and listens; `start` says how it came: forked, spawned, or a spare",
  path: "snakepit/pools/{pool}/fleet/{slot}/process",
  measurements: { tookMillis: Schema.Finite },
  attributes: { ...worker, start: Schema.Literals(["fork", "spawn", "spare"]), incident }
})

export const process_exit = Event.declare({
  name: "snakepit.process.exit",
  layer: "execution",
  when: "a worker's process ended: by itself, by a planned stop, by a verdict over it, or with its Reaper (`endedBy`)",
  path: "snakepit/pools/{pool}/fleet/{slot}/process",
  measurements: {},
  attributes: { ...worker, ...end, incident }
})

export const process_leak = Event.declare({
  name: "snakepit.process.leak",
  layer: "execution",
  when: "a process, or one that it started, is still there after SIGKILL and a wait; it is likely stuck in the kernel",
  path: "snakepit/pools/{pool}/reaper",
  measurements: {},
  attributes: { ...pool, worker: Schema.String, pid: Schema.Int, state: Schema.String }
})

export const containment_report = Event.declare({
  name: "snakepit.containment.report",
  layer: "control",
  when:
    "a pool's Reaper is up, and where there is a cgroup its first process in it: which layers of containment hold (`active`), which do not (`missing`), and what could still outlive the host",
  path: "snakepit/pools/{pool}/reaper",
  measurements: {},
  attributes: { pool: Schema.String, active: Schema.String, missing: Schema.String, leaks: Schema.String }
})

export const process_registry_sweep = Event.declare({
  name: "snakepit.process_registry.sweep",
  layer: "foundation",
  when: "at the start, the journals of other runs were looked through, and what the dead ones left behind was killed",
  path: "snakepit/foundation/process_registry",
  measurements: {
    living: Unit.count("run"),
    foreign: Unit.count("run"),
    forsaken: Unit.count("run"),
    rebooted: Unit.count("run"),
    dead: Unit.count("run"),
    unreadable: Unit.count("run"),
    unread: Unit.count("run"),
    killed: Unit.count("process"),
    left: Unit.count("process"),
    tookMillis: Schema.Finite
  },
  attributes: { folder: Schema.String }
})

export const process_registry_set_aside = Event.declare({
  name: "snakepit.process_registry.set_aside",
  layer: "foundation",
  when: "the journal of another run could not be read whole, and was renamed to `file`",
  path: "snakepit/foundation/process_registry",
  measurements: {},
  attributes: { file: Schema.String, why: Schema.String }
})

export const process_registry_unread = Event.declare({
  name: "snakepit.process_registry.unread",
  layer: "foundation",
  when: "the journal of another run could not be read, or is not this user's: it was left alone, and what it may name too",
  path: "snakepit/foundation/process_registry",
  measurements: {},
  attributes: { file: Schema.String, why: Schema.String }
})

export const process_registry_write_failed = Event.declare({
  name: "snakepit.process_registry.write_failed",
  layer: "foundation",
  when: "the journal of this run cannot be written; it is written anew at the next change that can be",
  path: "snakepit/foundation/process_registry",
  measurements: {},
  attributes: { file: Schema.String, detail: Schema.String }
})

export const bridge_supervisor = SupervisorEvent.of("bridge_supervisor", "bridge")

export const gateway_start = Event.declare({
  name: "snakepit.gateway.start",
  layer: "bridge",
  when: "the gateway listens at `address`; `security` says how its clients show who they are",
  path: "snakepit/bridge/gateway",
  measurements: {},
  attributes: { address: Schema.String, security: Schema.String }
})

export const gateway_drop = Event.declare({
  name: "snakepit.gateway.drop",
  layer: "bridge",
  when: "`connections` beyond `maxConnections` of the gateway were closed within the last second",
  path: "snakepit/bridge/gateway",
  measurements: { connections: Unit.count("connection"), limit: Unit.count("connection") },
  attributes: { address: Schema.String }
})

export const gateway_stop = Event.declare({
  name: "snakepit.gateway.stop",
  layer: "bridge",
  when: "the gateway takes no further calls, and ends those that are open; `refused` were without its token since it started",
  path: "snakepit/bridge/gateway",
  measurements: { refused: Unit.count("connection") },
  attributes: { address: Schema.String }
})

const teller = { ...pool, slot: Schema.Int, generation: Schema.Int }

export const python_event = Event.declare({
  name: "snakepit.python.event",
  layer: "execution",
  when:
    "a tool has told an event of its own, whose name is `event`: its measurements are those of the event, its attributes have `python.` before their names",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: {},
  attributes: {
    ...teller,
    event: Schema.String,
    correlationId: Schema.UndefinedOr(Schema.String),
    tool: Schema.UndefinedOr(Schema.String)
  },
  isOpen: true
})

export const python_memory_sampled = Event.declare({
  name: "snakepit.python.memory.sampled",
  layer: "execution",
  when: "a worker has looked, at its interval, how much memory its process holds: resident, and in all",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: { rssBytes: Schema.Finite, vmsBytes: Schema.UndefinedOr(Schema.Finite) },
  attributes: teller
})

export const python_cpu_sampled = Event.declare({
  name: "snakepit.python.cpu.sampled",
  layer: "execution",
  when: "a worker has looked how much of one CPU its process has used since it looked last",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: { cpuPercent: Unit.of(Schema.Finite, "%") },
  attributes: teller
})

export const python_gc_completed = Event.declare({
  name: "snakepit.python.gc.completed",
  layer: "execution",
  when:
    "a worker has looked how often Python's garbage collection has run since it looked last, once for each generation of objects where it has",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: { count: Unit.count("collection"), collected: Unit.count("object"), uncollectable: Unit.count("object") },
  attributes: { ...teller, gcGeneration: Schema.Int }
})

const said = Schema.UndefinedOr(Schema.Finite)

export const python_gpu_sampled = Event.declare({
  name: "snakepit.python.gpu.sampled",
  layer: "execution",
  when: "a worker has looked at a GPU of its machine, where `pynvml` is installed; what the device does not say is left out",
  path: "snakepit/pools/{pool}/fleet/{slot}",
  measurements: {
    usedBytes: said,
    totalBytes: said,
    gpuPercent: Unit.of(said, "%"),
    celsius: Unit.of(said, "Cel"),
    watts: Unit.of(said, "W")
  },
  attributes: { ...teller, device: Schema.Int }
})

export const python_drop = Event.declare({
  name: "snakepit.python.drop",
  layer: "bridge",
  when:
    "records of a worker's telemetry were left out within the last second: it had no credit and no room (`queue`), an improper name (`invalid`), no tap (`tap`), more than its credit (`credit`); or the host had no room (`ingest`), they had no proper shape (`shape`), were too many (`names` of events, `spans`; of `keys` and `values` only those), or what took them threw (`defect`)",
  path: "snakepit/bridge/ingest",
  measurements: { records: Unit.count("record") },
  attributes: { ...teller, reason: Schema.String }
})

export const python_limit = Event.declare({
  name: "snakepit.python.limit",
  layer: "bridge",
  when:
    "for the first time a pool's tools told of more names, keys or texts than are kept apart (`what`), with `event`: those beyond are left out",
  path: "snakepit/bridge/ingest",
  measurements: { limit: Unit.of(Schema.Int, "1") },
  attributes: { ...pool, what: Schema.Literals(["names", "spans", "keys", "values"]), event: Schema.String }
})

/** What is measured of each worker. */
export interface Sample {
  readonly declaration: Event.Declaration
  /** Reads what a worker says: as declared, without what is not; `undefined` when something is missing, or is not as declared. */
  readonly measured: (measurements: Readonly<Record<string, unknown>>) => Record<string, number> | undefined
  /** The same, of attributes that are the sample's own. */
  readonly described: (attributes: Readonly<Record<string, unknown>>) => Record<string, Event.Value> | undefined
}

const reader = <A>(fields: Event.Fields) => {
  const is = Schema.is(Schema.Struct(fields))
  return (values: Readonly<Record<string, unknown>>): Record<string, A> | undefined => {
    const declared = Object.fromEntries(Object.keys(fields).map((key) => [key, Object.hasOwn(values, key) ? values[key] : undefined]))
    return is(declared) ? declared as Record<string, A> : undefined
  }
}

const sample = (declaration: Event.Declaration): Sample => ({
  declaration,
  measured: reader(declaration.measurements),
  described: reader(Object.fromEntries(Object.entries(declaration.attributes).filter(([key]) => !(key in teller))))
})

/** By their names in Python. */
export const samples: ReadonlyMap<string, Sample> = new Map([
  ["python.memory.sampled", sample(python_memory_sampled)],
  ["python.cpu.sampled", sample(python_cpu_sampled)],
  ["python.gc.completed", sample(python_gc_completed)],
  ["python.gpu.sampled", sample(python_gpu_sampled)]
])

/** Everything this package emits. */
export const declarations: ReadonlyArray<Event.Declaration> = [
  ...Object.values(bridge_supervisor),
  gateway_start,
  gateway_drop,
  gateway_stop,
  reaper_start,
  reaper_complain,
  reaper_dropped,
  forkserver_start,
  forkserver_exit,
  spare_exit,
  process_start,
  process_exit,
  process_leak,
  containment_report,
  python_event,
  python_memory_sampled,
  python_cpu_sampled,
  python_gc_completed,
  python_gpu_sampled,
  python_drop,
  python_limit,
  process_registry_sweep,
  process_registry_set_aside,
  process_registry_unread,
  process_registry_write_failed
]
