/** The events of processes and of what holds them. */
import { Event } from "@snakepit/core"
import * as Schema from "effect/Schema"

const worker = { pool: Schema.String, slot: Schema.Int, generation: Schema.Int, pid: Schema.Int }

export const reaper_start = Event.declare({
  name: "snakepit.reaper.start",
  layer: "control",
  when: "a pool's Reaper is up; `subreaper` says whether it keeps orphans",
  measurements: {},
  attributes: { pool: Schema.String, pid: Schema.Int, subreaper: Schema.Boolean }
})

export const process_start = Event.declare({
  name: "snakepit.process.start",
  layer: "execution",
  when: "a worker's process has imported its adapter and listens",
  measurements: { tookMillis: Schema.Finite },
  attributes: worker
})

export const process_exit = Event.declare({
  name: "snakepit.process.exit",
  layer: "execution",
  when: "a worker's process ended, asked for (`planned`) or not",
  measurements: {},
  attributes: {
    ...worker,
    planned: Schema.Boolean,
    code: Schema.UndefinedOr(Schema.Int),
    signal: Schema.UndefinedOr(Schema.String)
  }
})

export const process_leak = Event.declare({
  name: "snakepit.process.leak",
  layer: "execution",
  when: "a worker's process is still there after SIGKILL and a wait; it is likely stuck in the kernel",
  measurements: {},
  attributes: worker
})

export const containment_report = Event.declare({
  name: "snakepit.containment.report",
  layer: "control",
  when:
    "a pool's Reaper is up: which layers of containment hold (`active`), which do not (`missing`), and what could still outlive the host",
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
    rebooted: Schema.Int,
    dead: Schema.Int,
    unreadable: Schema.Int,
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

export const process_registry_write_failed = Event.declare({
  name: "snakepit.process_registry.write_failed",
  layer: "foundation",
  when: "the journal of this run cannot be written; it is written anew at the next change that can be",
  measurements: {},
  attributes: { file: Schema.String, detail: Schema.String }
})

/** Everything this package emits. */
export const declarations: ReadonlyArray<Event.Declaration> = [
  reaper_start,
  process_start,
  process_exit,
  process_leak,
  containment_report,
  process_registry_sweep,
  process_registry_set_aside,
  process_registry_write_failed
]
