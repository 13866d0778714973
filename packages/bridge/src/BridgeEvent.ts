/** The events of processes and of what holds them, of the gateway, and of what Python tells. */
import { Event, SupervisorEvent } from "@snakepit/core"
import * as Schema from "effect/Schema"

const pool = { pool: Schema.String }
const worker = { ...pool, slot: Schema.Int, generation: Schema.Int, pid: Schema.Int }
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
  measurements: {},
  attributes: { ...pool, pid: Schema.Int, subreaper: Schema.Boolean }
})

export const reaper_complain = Event.declare({
  name: "snakepit.reaper.complain",
  layer: "control",
  when:
    "a pool's Reaper could not do something and goes on without: a setting that a worker runs without, a line that it did not understand",
  measurements: {},
  attributes: { ...pool, message: Schema.String }
})

export const reaper_dropped = Event.declare({
  name: "snakepit.reaper.dropped",
  layer: "control",
  when: "a pool's workers wrote more output than the host took in: so many lines were left out of what errors and events show of it",
  measurements: { lines: Schema.Int },
  attributes: pool
})

export const forkserver_start = Event.declare({
  name: "snakepit.forkserver.start",
  layer: "control",
  when: "a pool's forkserver has imported the adapter and forks its workers (`mode` is fork), or workers are spawned, and `why`",
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
  measurements: {},
  attributes: { ...pool, pid: Schema.Int, ...end }
})

export const spare_exit = Event.declare({
  name: "snakepit.spare.exit",
  layer: "execution",
  when: "a spare ended before a slot needed it, asked for (`planned`) or not",
  measurements: {},
  attributes: { ...pool, pid: Schema.Int, ...end }
})

export const process_start = Event.declare({
  name: "snakepit.process.start",
  layer: "execution",
  when: "a slot has a process that has imported its adapter and listens; `start` says how it came: forked, spawned, or a spare",
  measurements: { tookMillis: Schema.Finite },
  attributes: { ...worker, start: Schema.Literals(["fork", "spawn", "spare"]) }
})

export const process_exit = Event.declare({
  name: "snakepit.process.exit",
  layer: "execution",
  when: "a worker's process ended: by itself, by a planned stop, by a verdict over it, or with its Reaper (`endedBy`)",
  measurements: {},
  attributes: { ...worker, ...end }
})

export const process_leak = Event.declare({
  name: "snakepit.process.leak",
  layer: "execution",
  when: "a process, or one that it started, is still there after SIGKILL and a wait; it is likely stuck in the kernel",
  measurements: {},
  attributes: { ...pool, worker: Schema.String, pid: Schema.Int, state: Schema.String }
})

export const containment_report = Event.declare({
  name: "snakepit.containment.report",
  layer: "control",
  when:
    "a pool's Reaper is up, and where there is a cgroup its first process in it: which layers of containment hold (`active`), which do not (`missing`), and what could still outlive the host",
  measurements: {},
  attributes: { pool: Schema.String, active: Schema.String, missing: Schema.String, leaks: Schema.String }
})

export const process_registry_sweep = Event.declare({
  name: "snakepit.process_registry.sweep",
  layer: "foundation",
  when: "at the start, the journals of other runs were looked through, and what the dead ones left behind was killed",
  measurements: {
    living: Schema.Int,
    foreign: Schema.Int,
    forsaken: Schema.Int,
    rebooted: Schema.Int,
    dead: Schema.Int,
    unreadable: Schema.Int,
    unread: Schema.Int,
    killed: Schema.Int,
    left: Schema.Int,
    tookMillis: Schema.Finite
  },
  attributes: { folder: Schema.String }
})

export const process_registry_set_aside = Event.declare({
  name: "snakepit.process_registry.set_aside",
  layer: "foundation",
  when: "the journal of another run could not be read whole, and was renamed to `file`",
  measurements: {},
  attributes: { file: Schema.String, why: Schema.String }
})

export const process_registry_unread = Event.declare({
  name: "snakepit.process_registry.unread",
  layer: "foundation",
  when: "the journal of another run could not be read, or is not this user's: it was left alone, and what it may name too",
  measurements: {},
  attributes: { file: Schema.String, why: Schema.String }
})

export const process_registry_write_failed = Event.declare({
  name: "snakepit.process_registry.write_failed",
  layer: "foundation",
  when: "the journal of this run cannot be written; it is written anew at the next change that can be",
  measurements: {},
  attributes: { file: Schema.String, detail: Schema.String }
})

export const bridge_supervisor = SupervisorEvent.of("bridge_supervisor", "bridge")

export const gateway_start = Event.declare({
  name: "snakepit.gateway.start",
  layer: "bridge",
  when: "the gateway listens at `address`; `security` says how its clients show who they are",
  measurements: {},
  attributes: { address: Schema.String, security: Schema.String }
})

export const gateway_drop = Event.declare({
  name: "snakepit.gateway.drop",
  layer: "bridge",
  when: "`connections` beyond `maxConnections` of the gateway were closed within the last second",
  measurements: { connections: Schema.Int, limit: Schema.Int },
  attributes: { address: Schema.String }
})

export const gateway_stop = Event.declare({
  name: "snakepit.gateway.stop",
  layer: "bridge",
  when: "the gateway takes no further calls, and ends those that are open; `refused` were without its token since it started",
  measurements: { refused: Schema.Int },
  attributes: { address: Schema.String }
})

const teller = { ...pool, slot: Schema.Int, generation: Schema.Int }

export const python_event = Event.declare({
  name: "snakepit.python.event",
  layer: "execution",
  when:
    "a tool has told an event of its own, whose name is `event`: its measurements are those of the event, its attributes have `python.` before their names",
  measurements: {},
  attributes: {
    ...teller,
    event: Schema.String,
    call: Schema.UndefinedOr(Schema.Int),
    tool: Schema.UndefinedOr(Schema.String)
  }
})

export const python_memory_sampled = Event.declare({
  name: "snakepit.python.memory.sampled",
  layer: "execution",
  when: "a worker has looked, at its interval, how much memory its process holds: resident, and in all",
  measurements: { rssBytes: Schema.Finite, vmsBytes: Schema.optionalKey(Schema.Finite) },
  attributes: teller
})

export const python_cpu_sampled = Event.declare({
  name: "snakepit.python.cpu.sampled",
  layer: "execution",
  when: "a worker has looked how much of one CPU its process has used since it looked last",
  measurements: { cpuPercent: Schema.Finite },
  attributes: teller
})

export const python_gc_completed = Event.declare({
  name: "snakepit.python.gc.completed",
  layer: "execution",
  when: "a worker has looked how often Python's garbage collection has run since it looked last, once for each generation of objects where it has",
  measurements: { count: Schema.Finite, collected: Schema.Finite, uncollectable: Schema.Finite },
  attributes: { ...teller, gcGeneration: Schema.Finite }
})

export const python_gpu_sampled = Event.declare({
  name: "snakepit.python.gpu.sampled",
  layer: "execution",
  when: "a worker has looked at a GPU of its machine, where `pynvml` is installed",
  measurements: {
    usedBytes: Schema.Finite,
    totalBytes: Schema.Finite,
    gpuPercent: Schema.Finite,
    celsius: Schema.Finite,
    watts: Schema.Finite
  },
  attributes: { ...teller, device: Schema.Finite }
})

export const python_drop = Event.declare({
  name: "snakepit.python.drop",
  layer: "bridge",
  when:
    "records of a worker's telemetry were left out within the last second: it had no credit and no room (`queue`), an improper name (`invalid`), no tap (`tap`), more than its credit (`credit`); or the host had no room (`ingest`), they had no proper shape (`shape`), were too many (`names`; of `keys` and `values` only those), or what took them threw (`defect`)",
  measurements: { records: Schema.Int },
  attributes: { ...teller, reason: Schema.String }
})

export const python_limit = Event.declare({
  name: "snakepit.python.limit",
  layer: "bridge",
  when: "for the first time a pool's tools told of more names, keys or texts than are kept apart (`what`), with `event`: those beyond are left out",
  measurements: { limit: Schema.Int },
  attributes: { ...pool, what: Schema.Literals(["names", "keys", "values"]), event: Schema.String }
})

/** What is measured of each worker. */
export interface Sample {
  readonly declaration: Event.Declaration
  readonly isMeasured: (measurements: unknown) => boolean
  readonly isDescribed: (attributes: unknown) => boolean
}

const sample = ({ attributes, measurements, ...declaration }: Event.Declaration): Sample => {
  const own = Object.fromEntries(Object.entries(attributes).filter(([key]) => !(key in teller)))
  return {
    declaration: { attributes, measurements, ...declaration },
    isMeasured: Schema.is(Schema.Struct(measurements)),
    isDescribed: Schema.is(Schema.Struct(own))
  }
}

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
